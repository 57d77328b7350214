// A source that answers slowly, for tests: shows a folder below a mountpoint, and has each call
// wait as its control file says (slow_source.py writes it, while this runs).
//
//     slow_source CONTROL FOLDER MOUNTPOINT
#define FUSE_USE_VERSION 312
#include <dirent.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

// As in slow_source.py.
struct Control {
  std::atomic<uint64_t> delay;    // of each call, in microseconds
  std::atomic<uint64_t> stalled;  // 1: calls for the folder "stalls" and what is in it wait
  std::atomic<uint64_t> waiting;  // how many do
};

// A file or folder that the kernel knows: a node a file, whatever its name leads to by now.
struct Node {
  int fd = -1;
  bool stalls = false;
  uint64_t lookups = 0;
};

Control* control;
Node root;
std::mutex mutex;  // guards what follows
std::map<ino_t, std::unique_ptr<Node>> nodes;

Node& NodeOf(fuse_ino_t node) {
  return node == FUSE_ROOT_ID ? root : *reinterpret_cast<Node*>(node);
}

void Wait(bool stalls) {
  usleep(static_cast<useconds_t>(control->delay));
  if (!stalls || control->stalled == 0) return;
  ++control->waiting;
  while (control->stalled != 0) usleep(1000);
  --control->waiting;
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Node& folder = NodeOf(parent);
  const bool stalls = folder.stalls || (&folder == &root && std::strcmp(name, "stalls") == 0);
  Wait(stalls);
  fuse_entry_param entry{};
  const int fd = openat(folder.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &entry.attr) != 0) {
    fuse_reply_err(request, errno);
    return;
  }
  const std::lock_guard lock(mutex);
  auto& node = nodes[entry.attr.st_ino];
  if (node) {
    close(fd);
  } else {
    node = std::make_unique<Node>(Node{fd, stalls, 0});
  }
  ++node->lookups;
  entry.ino = reinterpret_cast<fuse_ino_t>(node.get());
  fuse_reply_entry(request, &entry);
}

void Forget(fuse_req_t request, fuse_ino_t number, uint64_t count) {
  fuse_reply_none(request);
  const std::lock_guard lock(mutex);
  Node& node = NodeOf(number);
  if (&node == &root || (node.lookups -= count) > 0) return;
  struct stat st {};
  fstat(node.fd, &st);
  close(node.fd);
  nodes.erase(st.st_ino);
}

void GetAttr(fuse_req_t request, fuse_ino_t number, fuse_file_info*) {
  const Node& node = NodeOf(number);
  Wait(node.stalls);
  struct stat st {};
  if (fstat(node.fd, &st) != 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_attr(request, &st, 0);
  }
}

void ReadLink(fuse_req_t request, fuse_ino_t number) {
  const Node& node = NodeOf(number);
  Wait(node.stalls);
  std::array<char, 4096> target{};
  if (readlinkat(node.fd, "", target.data(), target.size() - 1) < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_readlink(request, target.data());
  }
}

void Open(fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
  const Node& node = NodeOf(number);
  Wait(node.stalls);
  const auto path = "/proc/self/fd/" + std::to_string(node.fd);
  const int fd = open(path.c_str(), (info->flags & ~O_NOFOLLOW) | O_CLOEXEC);
  if (fd < 0) {
    fuse_reply_err(request, errno);
    return;
  }
  info->fh = static_cast<uint64_t>(fd);
  fuse_reply_open(request, info);
}

void Read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, fuse_file_info* info) {
  Wait(NodeOf(number).stalls);
  std::vector<char> bytes(size);
  const ssize_t got = pread(static_cast<int>(info->fh), bytes.data(), size, offset);
  if (got < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_buf(request, bytes.data(), static_cast<size_t>(got));
  }
}

void Release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  close(static_cast<int>(info->fh));
  fuse_reply_err(request, 0);
}

// All of it at once, as often as it is asked for.
void ReadDir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
             fuse_file_info* info) {
  Wait(NodeOf(number).stalls);
  DIR* const folder = fdopendir(openat(static_cast<int>(info->fh), ".", O_RDONLY | O_CLOEXEC));
  if (folder == nullptr) {
    fuse_reply_err(request, errno);
    return;
  }
  std::vector<char> bytes(size);
  size_t used = 0;
  off_t position = 0;
  while (const dirent* entry = readdir(folder)) {
    if (++position <= offset) continue;
    struct stat st {};
    st.st_ino = entry->d_ino;
    st.st_mode = DTTOIF(entry->d_type);
    const size_t needed =
        fuse_add_direntry(request, bytes.data() + used, size - used, entry->d_name, &st, position);
    if (needed > size - used) break;
    used += needed;
  }
  closedir(folder);
  fuse_reply_buf(request, bytes.data(), used);
}

void StatFs(fuse_req_t request, fuse_ino_t) {
  struct statvfs st {};
  fstatvfs(root.fd, &st);
  fuse_reply_statfs(request, &st);
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations{};
  operations.lookup = Lookup;
  operations.forget = Forget;
  operations.getattr = GetAttr;
  operations.readlink = ReadLink;
  operations.open = Open;
  operations.read = Read;
  operations.release = Release;
  operations.opendir = Open;
  operations.readdir = ReadDir;
  operations.releasedir = Release;
  operations.statfs = StatFs;
  return operations;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  const int fd = open(words[1], O_RDWR | O_CLOEXEC);
  void* const mapped = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  root.fd = open(words[2], O_PATH | O_CLOEXEC);
  if (mapped == MAP_FAILED || root.fd < 0) return 2;
  control = static_cast<Control*>(mapped);
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  for (const char* word :
       {"slow_source", "-o", "allow_other,default_permissions,fsname=slow-source"}) {
    fuse_opt_add_arg(&arguments, word);
  }
  const auto operations = Operations();
  fuse_session* const session =
      fuse_session_new(&arguments, &operations, sizeof(operations), nullptr);
  if (session == nullptr || fuse_session_mount(session, words[3]) != 0) return 1;
  fuse_loop_config* const config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_max_threads(config, 1000);
  return fuse_session_loop_mt(session, config);
}
