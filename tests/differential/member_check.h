#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "contents_file.h"
#include "fs/file_system.h"
#include "json_line.h"
#include "util/error.h"

namespace skopsfs::differential {

std::string ErrorJson(const util::Error& error);

// Reads one member in order and then in shuffled pieces, and writes down what came of it. The
// filesystem and the contents file must outlive it.
class MemberCheck {
 public:
  MemberCheck(fs::FileSystem& fs, const fs::Entry& entry, ContentsFile& contents,
              std::mt19937_64 random)
      : fs_(fs), entry_(entry), contents_(contents), random_(random) {}

  // Adds "xattr" and either "content" or "error" to `member`.
  void Run(JsonObject& member);

  // What contradicts itself, whatever zipfile says.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Piece {
    uint64_t offset;
    size_t size;
  };

  void ReadAll(JsonObject& member);
  std::optional<util::Error> ReadInOrder(const fs::Member& open);
  std::vector<Piece> ShuffledPieces(uint64_t end);
  void ReadShuffled(fs::Member open, bool must_work);
  bool ReadPiece(const fs::Member& open, const Piece& piece);
  void ReadPastTheEnd(const fs::Member& open);
  void AddXattrs(JsonObject& member);

  uint64_t size() const { return static_cast<uint64_t>(entry_.attributes.st_size); }
  size_t Below(size_t limit) { return static_cast<size_t>(random_() % limit); }

  fs::FileSystem& fs_;
  const fs::Entry entry_;
  ContentsFile& contents_;
  std::mt19937_64 random_;
  size_t block_ = 0;                   // bytes that reads in order ask for
  std::vector<std::byte> bytes_;       // what reading in order gave
  std::optional<std::string> reason_;  // why the member cannot be opened or read
  std::vector<std::string> problems_;
};

}  // namespace skopsfs::differential
