#pragma once

#include <functional>

namespace skopsfs::util {

// Runs `serve` in a child process that goes on in the background, and returns when it calls `ready`
// (0) or ends before (its exit code). From `ready` on the child has a session of its own, its
// standard streams are /dev/null and its log goes to syslog; until then it can tell what is wrong
// on stderr. To be called before there are threads.
int RunInBackground(const std::function<int(const std::function<void()>& ready)>& serve);

// From now on nothing of this process goes to the terminal or pipe that it was started from, nor
// does it keep anybody's folder busy.
void LeaveTerminal();

// From now on this process ends when its parent does. Becoming another user undoes that.
void EndWithParent();

}  // namespace skopsfs::util
