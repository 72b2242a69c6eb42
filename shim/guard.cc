#include "guard.h"

#include <algorithm>
#include <cstdlib>

#include <sys/types.h>
#include <unistd.h>

Printable::Printable(std::string_view text)
{
    size_t length = text.copy(line, sizeof line - 1);
    line[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
}

// The interpreter wraps what an operator threw, whatever its type, in an account of several lines.
int fail_with(ce_error *error, std::string_view text)
{
    constexpr std::string_view wrapped = "\nRuntimeError: ";
    size_t cause = text.rfind(wrapped);
    if (cause != text.npos)
        text.remove_prefix(cause + wrapped.size());
    bool memory =
        text.find("can't allocate memory") != text.npos || text.find("std::bad_alloc") != text.npos;
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    text = text.substr(0, text.find('\n'));
    return ce_fail(error, memory ? CE_E_NO_MEMORY : CE_E_BACKEND, "libtorch: %s",
                   Printable(text).line);
}

namespace
{

// When a process ends, libtorch's static objects are destroyed while other threads may still be
// inside, or may come in later from an exit handler of the host. So the end of the process closes the
// door and waits for those inside; who comes later is turned away, and what he holds is left as it is.
struct Door {
    std::atomic<int> inside{0};
    std::atomic<bool> closed{false};
    std::atomic<pid_t> owner{0};
};

Door door;

void close_door()
{
    door.closed = true;
    // A forked child has the count, but not the threads. A call should end within seconds; if not, a
    // crash is better than a process that does not end.
    for (int i = 0; i < 10000 && door.inside > 0 && door.owner == getpid(); i++)
        usleep(1000);
}

} // namespace

Visit::Visit()
{
    door.inside++;
}

Visit::~Visit()
{
    door.inside--;
}

bool Visit::too_late() const
{
    return door.closed;
}

void close_door_at_exit()
{
    std::atexit(close_door);
}

std::mutex &registries()
{
    static std::mutex mutex;
    return mutex;
}

bool begin_process()
{
    std::lock_guard<std::mutex> lock(registries());
    if (door.owner == getpid())
        return false;
    door.owner = getpid();
    door.inside = 0;
    return true;
}
