#include "member_check.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace skopsfs::differential {

using util::Error;

std::string ErrorJson(const Error& error) {
  return JsonObject().Number("errno", error.code()).Text("reason", error.what()).Str();
}

void MemberCheck::Run(JsonObject& member) {
  try {
    ReadAll(member);
  } catch (const Error& error) {  // it cannot even be opened
    member.Raw("error", ErrorJson(error));
    reason_ = error.what();
  }
  AddXattrs(member);
}

void MemberCheck::ReadAll(JsonObject& member) {
  constexpr std::array<size_t, 4> kBlocks = {1000, 4096, 100'000, 128 << 10};
  // A big member in small blocks would only take long.
  block_ = size() > (1U << 20) ? kBlocks.back() : kBlocks[Below(kBlocks.size())];
  const auto open = fs_.MemberOf(entry_.node);
  const auto error = ReadInOrder(open);
  if (error) {
    member.Raw("error", ErrorJson(*error));
    reason_ = error->what();
  } else {
    member.Raw("content", contents_.Append(bytes_));
    ReadPastTheEnd(open);
  }
  ReadShuffled(open, !error);
}

std::optional<Error> MemberCheck::ReadInOrder(const fs::Member& open) {
  const uint64_t end = std::min(size(), kMostRead);
  std::vector<std::byte> block(block_);
  try {
    while (bytes_.size() < end) {
      const auto wanted = static_cast<size_t>(std::min<uint64_t>(block_, size() - bytes_.size()));
      const size_t got = fs_.Read(open, bytes_.size(), block);
      if (got != wanted) problems_.push_back(fmt::format("read {} of {} bytes", got, wanted));
      if (got == 0) break;
      bytes_.insert(bytes_.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(got));
    }
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

// Cuts [0, end) into pieces, in an order of no order, some of them twice.
std::vector<MemberCheck::Piece> MemberCheck::ShuffledPieces(uint64_t end) {
  constexpr size_t kMostPieces = 10;
  std::vector<uint64_t> cuts = {0, end};
  for (size_t i = Below(kMostPieces); i-- > 0;) cuts.push_back(Below(static_cast<size_t>(end)));
  std::sort(cuts.begin(), cuts.end());
  std::vector<Piece> pieces;
  for (size_t i = 1; i < cuts.size(); ++i) {
    const Piece piece{cuts[i - 1], static_cast<size_t>(cuts[i] - cuts[i - 1])};
    if (piece.size == 0) continue;
    pieces.push_back(piece);
    if (Below(4) == 0) pieces.push_back(piece);
  }
  std::shuffle(pieces.begin(), pieces.end(), random_);
  return pieces;
}

void MemberCheck::ReadShuffled(fs::Member open, bool must_work) {
  // Of a member that fails: up to the end of the block that failed, so that one piece must fail.
  const uint64_t end = must_work ? bytes_.size() : std::min(size(), bytes_.size() + block_);
  if (end == 0) return;
  bool worked = true;
  try {
    if (Below(2) == 0) open = fs_.MemberOf(entry_.node);
  } catch (const Error&) {  // its CRC-32 has been found wrong
    worked = false;
  }
  for (const auto& piece : ShuffledPieces(end)) worked &= ReadPiece(open, piece);
  if (worked && !must_work) problems_.push_back("fails in order, but not in pieces");
  if (!worked && must_work) problems_.push_back("fails in pieces, but not in order");
}

// False when it fails. Where the bytes are known, those are what it must give.
bool MemberCheck::ReadPiece(const fs::Member& open, const Piece& piece) {
  std::vector<std::byte> out(piece.size);
  try {
    if (fs_.Read(open, piece.offset, out) != piece.size) problems_.push_back("a short piece");
  } catch (const Error&) {
    return false;
  }
  if (piece.offset >= bytes_.size()) return true;
  const size_t known = std::min<size_t>(piece.size, bytes_.size() - piece.offset);
  if (std::memcmp(out.data(), bytes_.data() + piece.offset, known) != 0) {
    problems_.push_back(fmt::format("other bytes at {} than in order", piece.offset));
  }
  return true;
}

void MemberCheck::ReadPastTheEnd(const fs::Member& open) {
  std::array<std::byte, 16> out;
  for (const uint64_t past : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
    if (fs_.Read(open, size() + past, out) != 0) problems_.push_back("bytes past the end");
  }
  if (size() < 4) return;
  if (fs_.Read(open, size() - 4, out) != 4) problems_.push_back("not cut at the end");
}

void MemberCheck::AddXattrs(JsonObject& member) {
  JsonObject xattrs;
  for (const auto& name : fs_.ListXattr(entry_.node)) {
    const auto value = fs_.GetXattr(entry_.node, name);
    if (value) xattrs.Text(name.substr(name.rfind('.') + 1), *value);
    if (!value) problems_.push_back(name + " is listed, but is not there");
    if (name.ends_with(".error") && value != reason_) {
      problems_.push_back("the error attribute is not the reason");
    }
  }
  if (reason_ && !fs_.GetXattr(entry_.node, "user.skopsfs.error")) {
    problems_.push_back("fails without an error attribute");
  }
  member.Raw("xattr", xattrs.Str());
}

}  // namespace skopsfs::differential
