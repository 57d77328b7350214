#include <fmt/format.h>
#include <isa-l.h>
#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "archive/codecs.h"
#include "util/error.h"

namespace skopsfs::archive {
namespace {

constexpr size_t kInput = size_t{64} << 10;
constexpr size_t kWindow = ISAL_DEF_HIST_SIZE;  // how far back deflated data may point
// All of the state but the decoded bytes at its end.
constexpr size_t kTables = offsetof(inflate_state, tmp_out_buffer);

const char* ReasonOf(int result) {
  switch (result) {
    case ISAL_INVALID_BLOCK:
      return "bad block";
    case ISAL_INVALID_SYMBOL:
      return "bad symbol";
    case ISAL_INVALID_LOOKBACK:
      return "a distance that is too far back";
    default:
      return "bad data";
  }
}

// The state with no more of the decoded bytes than what follows may point to.
struct InflateCheckpoint : Checkpoint {
  uint64_t input = 0;  // offset of the next byte in the deflated data
  std::vector<std::byte> state;
};

class InflateStream : public DecodeStream {
 public:
  InflateStream(const zip::ByteSource& source, const Extent& extent, const InflateCheckpoint* from)
      : source_(source), extent_(extent) {
    isal_inflate_init(&state_);
    if (from == nullptr) return;
    std::memcpy(&state_, from->state.data(), from->state.size());
    position_ = from->input;
    state_.avail_in = 0;
  }

  size_t Read(std::span<std::byte> out) override {
    state_.next_out = reinterpret_cast<uint8_t*>(out.data());
    state_.avail_out = static_cast<uint32_t>(out.size());
    while (state_.avail_out > 0 && state_.block_state != ISAL_BLOCK_FINISH) {
      if (state_.avail_in == 0) Refill();
      const uint32_t input = state_.avail_in;
      const uint32_t room = state_.avail_out;
      const int result = isal_inflate(&state_);
      if (result != ISAL_DECOMP_OK) {
        throw util::Error(EIO, std::string("cannot be decoded: ") + ReasonOf(result));
      }
      // Without input left, what is in the state may still have come out.
      if (state_.avail_in == input && state_.avail_out == room) break;
    }
    return out.size() - state_.avail_out;
  }

  std::unique_ptr<const Checkpoint> Save() const override {
    // Of the decoded bytes that the state holds, those that have been given are history.
    const auto given = static_cast<size_t>(state_.tmp_out_processed);
    const auto held = static_cast<size_t>(state_.tmp_out_valid);
    const size_t dropped = std::min(given, held > kWindow ? held - kWindow : 0);
    if (held - dropped > kWindow + ISAL_LOOK_AHEAD) return nullptr;
    auto saved = std::make_unique<InflateCheckpoint>();
    saved->input = position_ - state_.avail_in;
    saved->state.resize(kTables + held - dropped);
    std::memcpy(saved->state.data(), &state_, kTables);
    std::memcpy(saved->state.data() + kTables, state_.tmp_out_buffer + dropped, held - dropped);
    const auto set = [&](size_t at, size_t value) {
      const auto number = static_cast<int32_t>(value);
      std::memcpy(saved->state.data() + at, &number, sizeof(number));
    };
    set(offsetof(inflate_state, tmp_out_processed), given - dropped);
    set(offsetof(inflate_state, tmp_out_valid), held - dropped);
    return saved;
  }

 private:
  void Refill() {
    const auto wanted =
        static_cast<size_t>(std::min<uint64_t>(kInput, extent_.compressed_size - position_));
    const size_t got =
        wanted == 0 ? 0
                    : source_.ReadAt(extent_.offset + position_, std::span(input_).first(wanted));
    position_ += got;
    state_.next_in = reinterpret_cast<uint8_t*>(input_.data());
    state_.avail_in = static_cast<uint32_t>(got);
  }

  const zip::ByteSource& source_;
  const Extent extent_;
  uint64_t position_ = 0;  // in the deflated data, of the next byte to read
  inflate_state state_;
  std::array<std::byte, kInput> input_;
};

}  // namespace

std::unique_ptr<DecodeStream> OpenInflateStream(const zip::ByteSource& source, const Extent& extent,
                                                const Checkpoint* from) {
  return std::make_unique<InflateStream>(source, extent,
                                         static_cast<const InflateCheckpoint*>(from));
}

size_t InflateStreamMemory() { return sizeof(InflateStream); }

size_t InflateCheckpointMemory() {
  return sizeof(InflateCheckpoint) + kTables + kWindow + ISAL_LOOK_AHEAD;
}

std::string IsalVersion() {
  return fmt::format("{}.{}.{}", ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
}

}  // namespace skopsfs::archive
