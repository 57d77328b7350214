#pragma once

#include <string>

#include "archive/decode_stream.h"

namespace skopsfs::archive {

// A stream over deflated data through ISA-L, which decodes five times as fast as zlib and, unlike
// libdeflate, a piece at a time: its state is plain memory, so that a checkpoint is a copy of it.
std::unique_ptr<DecodeStream> OpenInflateStream(const zip::ByteSource& source, const Extent& extent,
                                                const Checkpoint* from);

// What one takes of memory at most, and what a checkpoint of it does.
size_t InflateStreamMemory();
size_t InflateCheckpointMemory();

std::string IsalVersion();  // of the ISA-L that this was built with

}  // namespace skopsfs::archive
