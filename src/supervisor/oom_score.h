#pragma once

namespace skopsfs::supervisor {

// When memory runs out, the kernel is to kill workers, which are replaced, and not the supervisor,
// whose end is that of the mount. It spares the supervisor also where it kills all other processes
// of a cgroup (memory.oom.group). That takes CAP_SYS_RESOURCE. Without it all stays as it is.

// Has the kernel spare this process, if it may. Processes that are started later are told in the
// environment what holds for them. To be called once, while no other thread reads the environment.
void SpareSupervisor();

// To be called in a process that the supervisor has just started: it may be killed as the
// supervisor might have been before. Allocates nothing.
void DoNotSpareThisProcess();

}  // namespace skopsfs::supervisor
