// The OpenMP runtime that libtorch uses, for the calling thread alone.
#ifndef CE_SHIM_THREADS_H
#define CE_SHIM_THREADS_H

// Let the calling thread, and nothing else in the process, use this many threads from now on.
void use_threads(int threads);

// Call `work` on so many threads at once, as a parallel region of the calling thread; false without the
// runtime.
bool run_parallel(int threads, void (*work)(void *), void *argument);

#endif
