// Reads what a mutex guards without it, which clang-tidy has to find: see CMakeLists.txt.
#include "util/mutex.h"

namespace {

class Unguarded {
 public:
  int value() const { return value_; }

 private:
  skopsfs::util::Mutex mutex_;
  int value_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

int main() { return Unguarded().value(); }
