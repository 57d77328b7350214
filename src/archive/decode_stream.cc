#include "archive/decode_stream.h"

#include <zip.h>

#include "archive/codecs.h"

namespace skopsfs::archive {

bool CanDecode(uint16_t method) {
  switch (method) {
    case zip::kMethodDeflated:
    case zip::kMethodLzma:
      return true;
    case zip::kMethodBzip2:
    case zip::kMethodZstd:
      return zip_compression_method_supported(method, 0) != 0;
    default:
      return false;  // zipfile reads no others, whatever libzip can do
  }
}

size_t DecodeStreamMemory(const zip::ByteSource& source, const Extent& extent) {
  constexpr size_t kLibzip = size_t{64} << 10;  // its own, buffers included
  constexpr size_t kBzip2 = size_t{3800} << 10;
  constexpr size_t kZstd = (size_t{128} << 20) + (size_t{1} << 20);  // the data says, per frame
  switch (extent.method) {
    case zip::kMethodDeflated:
      return InflateStreamMemory();
    case zip::kMethodLzma:
      return LzmaStreamMemory(source, extent);
    case zip::kMethodBzip2:
      return kLibzip + kBzip2;
    default:
      return kLibzip + kZstd;
  }
}

size_t CheckpointMemory(uint16_t method) {
  return method == zip::kMethodDeflated ? InflateCheckpointMemory() : 0;
}

std::unique_ptr<DecodeStream> OpenDecodeStream(const zip::ByteSource& source, const Extent& extent,
                                               const Checkpoint* from) {
  switch (extent.method) {
    case zip::kMethodDeflated:
      return OpenInflateStream(source, extent, from);
    case zip::kMethodLzma:
      return OpenLzmaStream(source, extent);
    default:
      return OpenLibzipStream(source, extent);
  }
}

}  // namespace skopsfs::archive
