#pragma once

#include <functional>

namespace skopsfs::util {

// Runs `serve` in a child process that goes on in the background. Returns 0 when that calls
// `ready`, or its exit code when it ends before. Until `ready` the child can tell what is wrong on
// stderr. From then on it has a session of its own, its standard streams are /dev/null, and its log
// goes to syslog. To be called before there are threads.
int RunInBackground(const std::function<int(const std::function<void()>& ready)>& serve);

// From now on this process has no terminal, its standard streams are /dev/null, and its folder is
// "/", so that it keeps no other busy.
void LeaveTerminal();

// From now on this process ends when its parent does. Becoming another user undoes that.
void EndWithParent();

}  // namespace skopsfs::util
