#include "threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>

namespace
{

// The OpenMP runtime that libtorch uses, and not another copy that this file might be linked to.
struct Runtime {
    void (*set_threads)(int) = nullptr;
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned) = nullptr;
    int (*set_mkl_threads)(int) = nullptr;

    Runtime()
    {
        void *torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
        if (!torch)
            return;
        find(torch, "omp_set_num_threads", set_threads);
        find(torch, "GOMP_parallel", parallel);
        find(torch, "MKL_Set_Num_Threads_Local", set_mkl_threads);
    }

    template <class Function> static void find(void *library, const char *name, Function *&function)
    {
        function = reinterpret_cast<Function *>(dlsym(library, name));
    }
};

const Runtime &runtime()
{
    static const Runtime found;
    return found;
}

// Whether the system lets so many threads be started now.
bool can_start(int threads)
{
    std::mutex until_all_are_there;
    std::unique_lock<std::mutex> lock(until_all_are_there);
    std::vector<pthread_t> started(static_cast<size_t>(threads));
    int count = 0;
    auto wait = [](void *mutex) -> void * {
        std::lock_guard<std::mutex> turn(*static_cast<std::mutex *>(mutex));
        return nullptr;
    };
    while (count < threads && pthread_create(&started[static_cast<size_t>(count)], nullptr, wait,
                                             &until_all_are_there) == 0)
        count++;
    lock.unlock();
    for (int i = 0; i < count; i++)
        pthread_join(started[static_cast<size_t>(i)], nullptr);
    return count == threads;
}

} // namespace

// at::set_num_threads would also change the default of every thread that has not used libtorch yet.
void use_threads(int threads)
{
    // The OpenMP runtime ends the process when it cannot start its helpers, at the first run that is so
    // wide; they stay for the next ones. So it is tried before, and without them one thread works alone.
    thread_local int widest = 1;
    if (threads > widest && can_start(threads - 1))
        widest = threads;
    threads = std::min(threads, widest);

    at::get_num_threads(); // libtorch sets its default once for each thread: let that be before
    if (runtime().set_threads)
        runtime().set_threads(threads);
    if (runtime().set_mkl_threads) // outranks what the host may have set for the process
        runtime().set_mkl_threads(threads);
}

bool run_parallel(int threads, void (*work)(void *), void *argument)
{
    if (!runtime().parallel)
        return false;
    runtime().parallel(work, argument, static_cast<unsigned>(threads), 0);
    return true;
}
