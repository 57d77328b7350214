#include "zip/method_name.h"

#include "zip/format.h"

namespace skopsfs::zip {

std::string MethodName(uint16_t method) {
  switch (method) {
    case kMethodStored:
      return "stored";
    case kMethodDeflated:
      return "deflated";
    case kMethodBzip2:
      return "bzip2";
    case kMethodLzma:
      return "lzma";
    case kMethodZstd:
      return "zstd";
    default:
      return std::to_string(method);
  }
}

}  // namespace skopsfs::zip
