#pragma once

#include <string>

#include "archive/decode_stream.h"

// The streams that OpenDecodeStream() chooses from.
namespace skopsfs::archive {

// A stream over deflated data through ISA-L, which decodes five times as fast as zlib and, unlike
// libdeflate, a piece at a time: its state is plain memory, so that a checkpoint is a copy of it.
std::unique_ptr<DecodeStream> OpenInflateStream(const zip::ByteSource& source, const Extent& extent,
                                                const Checkpoint* from);
// Throws util::Error(EIO) when the data asks for a dictionary over 64 MiB.
std::unique_ptr<DecodeStream> OpenLzmaStream(const zip::ByteSource& source, const Extent& extent);
std::unique_ptr<DecodeStream> OpenLibzipStream(const zip::ByteSource& source, const Extent& extent);

// What one takes of memory at most (of LZMA that cannot be decoded, anything), and what a
// checkpoint does.
size_t InflateStreamMemory();
size_t InflateCheckpointMemory();
size_t LzmaStreamMemory(const zip::ByteSource& source, const Extent& extent);

std::string IsalVersion();  // of the ISA-L that this was built with
std::string LibzipVersion();

}  // namespace skopsfs::archive
