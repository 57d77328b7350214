#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace skopsfs::cli {

// What the command line asks for.
struct Options {
  std::string source;
  std::string mountpoint;
  bool foreground = false;
  bool debug = false;
  bool help = false;
  bool version = false;
  double revalidate = 1;      // seconds
  double worker_timeout = 0;  // seconds; 0: none
  bool proves_first = false;  // the CRC-32 of a member before its first byte is read
  bool verify_word_is_old = false;
  size_t decoder_memory = 128;  // MiB
  bool by_name = true;
  bool shows_others = true;                // files that are no archives
  bool passed_is_read_only = false;        // who has mounted what is passed says so
  bool nonempty = false;                   // the mountpoint may hold something, which is hidden
  std::optional<unsigned> read_ahead;      // KiB; none: as on the source's disk
  bool keep_archives = false;              // in the page cache, besides their members
  std::string user;                        // whom a worker of root becomes; empty: the owner
  bool sandbox = true;                     // of the worker
  std::string metrics_address;             // HOST:PORT or PORT; empty: none
  std::string handover;                    // a socket, see supervisor::MeetAt(); empty: none
  std::vector<std::string> given;          // all arguments but the two paths, as they were
  std::vector<std::string> mount_options;  // -o options that are handed on to libfuse
};

// A command line that cannot be understood; what() is the reason.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws UsageError. `arguments` are those after the program's name.
Options ParseOptions(std::span<const char* const> arguments);

// The text of --help, made from the table that ParseOptions() works with.
std::string Usage();

}  // namespace skopsfs::cli
