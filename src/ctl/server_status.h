#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::ctl {

// What a mount says of itself in .skopsfs/status.json. What it leaves out is empty or 0.
struct ServerStatus {
  struct Archive {
    std::string path = {};  // relative to the source; empty when the source is one archive
    uint64_t size = 0;
    std::string state = {};       // "open", "idle" or "failed"
    std::string reason = {};      // why it failed
    bool is_current = true;       // else it was replaced, and is still in use
    bool was_looked_into = true;  // else nobody can have anything of it
  };

  std::string version = {};
  std::string source = {};
  std::vector<std::string> options = {};
  uint64_t pid = 0;
  uint64_t worker_pid = 0;
  uint64_t uptime_seconds = 0;
  uint64_t restarts = 0;
  uint64_t open = 0;  // archives, those left out below among them
  uint64_t failed = 0;
  uint64_t known = 0;
  std::vector<Archive> archives = {};  // by path, of one path the present one first
  uint64_t archives_left_out = 0;

  // Whether the mount reads all of a member when it is opened. Older servers do with --verify=open.
  // They count open files, which tells them apart.
  bool reads_at_open = false;
};

// Throws util::Error(EIO) where `json` is no such document.
ServerStatus ParseServerStatus(std::string_view json);

}  // namespace skopsfs::ctl
