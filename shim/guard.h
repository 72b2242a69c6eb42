// What stands between libtorch and the C interface: exceptions become statuses, and the end of the
// process waits for the calls that are inside.
#ifndef CE_SHIM_GUARD_H
#define CE_SHIM_GUARD_H

extern "C" {
#include "../src/backend.h"
}

#include <c10/util/Exception.h>

#include <atomic>
#include <mutex>
#include <new>
#include <string_view>

// What comes out of a damaged archive need not be text. Nothing is allocated, because memory may be
// what is missing.
struct Printable {
    char line[sizeof(ce_error::message)];

    explicit Printable(std::string_view text);
};

// Fill `error` with the line of `text` that names the cause.
int fail_with(ce_error *error, std::string_view text);

// A call that is inside, or was turned away because the process ends.
class Visit
{
  public:
    Visit();
    ~Visit();
    Visit(const Visit &) = delete;
    Visit &operator=(const Visit &) = delete;
    bool too_late() const;
};

// Exit handlers run in reverse order, among them the destructors of static objects: to come before
// those that libtorch makes at its first work, this is called again after it.
void close_door_at_exit();

// Whether this process comes here for the first time. A forked child has an engine of its own then,
// and a count of visitors that never leave.
bool begin_process();

// Loading and unloading touch registries of libtorch that have no lock of their own.
std::mutex &registries();

// Run `body`, which returns a status; whatever it throws becomes one.
template <class Body> int guarded(ce_error *error, const Body &body) noexcept
{
    Visit visit;
    if (visit.too_late())
        return ce_fail(error, CE_E_BACKEND, "the process is ending");
    try {
        return body();
    } catch (const c10::OutOfMemoryError &) {
        return ce_fail(error, CE_E_NO_MEMORY, "libtorch: out of memory");
    } catch (const std::bad_alloc &) {
        return ce_fail(error, CE_E_NO_MEMORY, "libtorch: out of memory");
    } catch (const c10::Error &thrown) {
        return fail_with(error, thrown.what_without_backtrace());
    } catch (const std::exception &thrown) {
        return fail_with(error, thrown.what());
    } catch (...) {
        return ce_fail(error, CE_E_BACKEND, "libtorch: an exception of unknown type");
    }
}

#endif
