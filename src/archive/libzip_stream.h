#pragma once

#include <string>

#include "archive/decode_stream.h"

namespace skopsfs::archive {

std::unique_ptr<DecodeStream> OpenLibzipStream(const zip::ByteSource& source, const Extent& extent);

std::string LibzipVersion();

}  // namespace skopsfs::archive
