#include "archive/decode_stream.h"

#include <zip.h>

#include "archive/libzip_stream.h"
#include "archive/lzma_stream.h"
#include "zip/format.h"

namespace skopsfs::archive {

bool CanDecode(uint16_t method) {
  switch (method) {
    case zip::kMethodLzma:
      return true;
    case zip::kMethodDeflated:
    case zip::kMethodBzip2:
    case zip::kMethodZstd:
      return zip_compression_method_supported(method, 0) != 0;
    default:
      return false;  // zipfile reads no others, whatever libzip can do
  }
}

std::unique_ptr<DecodeStream> OpenDecodeStream(const zip::ByteSource& source,
                                               const Extent& extent) {
  if (extent.method == zip::kMethodLzma) return OpenLzmaStream(source, extent);
  return OpenLibzipStream(source, extent);
}

}  // namespace skopsfs::archive
