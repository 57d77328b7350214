#include <zip.h>

#include <exception>
#include <memory>
#include <new>

#include "archive/codecs.h"
#include "archive/single_member_zip.h"
#include "util/error.h"

namespace skopsfs::archive {
namespace {

// Shows libzip an archive with the one member, so that it decodes just our bytes.
class LibzipStream : public DecodeStream {
 public:
  LibzipStream(const zip::ByteSource& source, const Extent& extent) : zip_(source, extent) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* zip_source = zip_source_function_create(&LibzipStream::Command, this, &error);
    if (zip_source != nullptr) {
      archive_.reset(zip_open_from_source(zip_source, ZIP_RDONLY, &error));
      if (!archive_) zip_source_free(zip_source);
    }
    zip_error_fini(&error);
    if (!archive_ && failure_) std::rethrow_exception(failure_);
    if (!archive_)
      throw std::bad_alloc();  // it says "Not a zip archive", but what is made up is one
    file_.reset(zip_fopen_index(archive_.get(), 0, 0));
    if (!file_) Fail(*zip_get_error(archive_.get()));
  }
  LibzipStream(const LibzipStream&) = delete;
  LibzipStream& operator=(const LibzipStream&) = delete;

  size_t Read(std::span<std::byte> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const auto got = zip_fread(file_.get(), out.data() + done, out.size() - done);
      if (got < 0) Fail(*zip_file_get_error(file_.get()));
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  [[noreturn]] void Fail(zip_error_t& error) {
    if (failure_) std::rethrow_exception(failure_);
    if (zip_error_code_zip(&error) == ZIP_ER_MEMORY) throw std::bad_alloc();
    // The text is the error's.
    const std::unique_ptr<zip_error_t, void (*)(zip_error_t*)> text(&error, zip_error_fini);
    throw util::Error(EIO, "cannot be decoded: " + std::string(zip_error_strerror(&error)));
  }

  static zip_int64_t Command(void* self, void* data, zip_uint64_t size, zip_source_cmd_t command) {
    return static_cast<LibzipStream*>(self)->Answer(data, size, command);
  }

  zip_int64_t Answer(void* data, zip_uint64_t size, zip_source_cmd_t command) {
    switch (command) {
      case ZIP_SOURCE_OPEN:
        position_ = 0;
        return 0;
      case ZIP_SOURCE_READ:
        return AnswerRead({static_cast<std::byte*>(data), static_cast<size_t>(size)});
      case ZIP_SOURCE_SEEK: {
        zip_error_t error;
        zip_error_init(&error);
        const auto to = zip_source_seek_compute_offset(position_, zip_.size(), data, size, &error);
        zip_error_fini(&error);
        if (to < 0) return -1;
        position_ = static_cast<uint64_t>(to);
        return 0;
      }
      case ZIP_SOURCE_TELL:
        return static_cast<zip_int64_t>(position_);
      case ZIP_SOURCE_STAT: {
        auto* st = static_cast<zip_stat_t*>(data);
        zip_stat_init(st);
        st->size = zip_.size();
        st->valid |= ZIP_STAT_SIZE;
        return sizeof(*st);
      }
      case ZIP_SOURCE_ERROR: {
        auto* codes = static_cast<int*>(data);
        codes[0] = ZIP_ER_READ;
        codes[1] = EIO;
        return 2 * sizeof(int);
      }
      case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
      default:  // CLOSE and FREE: this object owns everything
        return 0;
    }
  }

  // No exception may pass through libzip: it is kept and thrown when libzip has returned.
  zip_int64_t AnswerRead(std::span<std::byte> out) {
    try {
      const size_t got = zip_.ReadAt(position_, out);
      position_ += got;
      return static_cast<zip_int64_t>(got);
    } catch (...) {
      failure_ = std::current_exception();
      return -1;
    }
  }

  SingleMemberZip zip_;
  uint64_t position_ = 0;
  std::exception_ptr failure_;
  struct Close {
    void operator()(zip_t* archive) const { zip_discard(archive); }
    void operator()(zip_file_t* file) const { zip_fclose(file); }
  };
  std::unique_ptr<zip_t, Close> archive_;
  std::unique_ptr<zip_file_t, Close> file_;  // goes first
};

}  // namespace

std::unique_ptr<DecodeStream> OpenLibzipStream(const zip::ByteSource& source,
                                               const Extent& extent) {
  return std::make_unique<LibzipStream>(source, extent);
}

std::string LibzipVersion() { return zip_libzip_version(); }

}  // namespace skopsfs::archive
