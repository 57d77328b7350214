#pragma once

#include "archive/decode_stream.h"

namespace skopsfs::archive {

// Throws util::Error(EIO) when the data asks for a dictionary over 64 MiB.
std::unique_ptr<DecodeStream> OpenLzmaStream(const zip::ByteSource& source, const Extent& extent);

// How much memory that takes at most; of data that cannot be decoded, anything.
size_t LzmaStreamMemory(const zip::ByteSource& source, const Extent& extent);

}  // namespace skopsfs::archive
