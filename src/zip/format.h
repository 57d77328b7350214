#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

// Numbers from PKWARE's APPNOTE.TXT, by the names it gives them.
namespace skopsfs::zip {

inline constexpr uint32_t kLocalHeaderSignature = 0x04034b50;
inline constexpr uint32_t kCentralHeaderSignature = 0x02014b50;
inline constexpr uint32_t kEndRecordSignature = 0x06054b50;
inline constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
inline constexpr uint32_t kZip64EndRecordSignature = 0x06064b50;

inline constexpr size_t kLocalHeaderSize = 30;
inline constexpr size_t kCentralHeaderSize = 46;
inline constexpr size_t kEndRecordSize = 22;
inline constexpr size_t kZip64LocatorSize = 20;
inline constexpr size_t kZip64EndRecordSize = 56;
inline constexpr size_t kLongestComment =
    65536;  // one more than fits, as Python's zipfile searches

inline constexpr uint16_t kZip64ExtraField = 0x0001;
inline constexpr uint16_t kTimestampExtraField = 0x5455;

inline constexpr uint16_t kFlagEncrypted = 1U << 0;
inline constexpr uint16_t kFlagPatched = 1U << 5;
inline constexpr uint16_t kFlagStrongEncryption = 1U << 6;
inline constexpr uint16_t kFlagUtf8 = 1U << 11;

inline constexpr uint16_t kMethodStored = 0;
inline constexpr uint16_t kMethodDeflated = 8;
inline constexpr uint16_t kMethodBzip2 = 12;
inline constexpr uint16_t kMethodLzma = 14;
inline constexpr uint16_t kMethodZstd = 93;

// The highest "version needed to extract" that Python's zipfile opens.
inline constexpr uint16_t kHighestVersionNeeded = 63;

// The usual name of a compression method; its number when there is none here.
inline std::string MethodName(uint16_t method) {
  switch (method) {
    case kMethodStored:
      return "stored";
    case kMethodDeflated:
      return "deflated";
    case kMethodBzip2:
      return "bzip2";
    case kMethodLzma:
      return "lzma";
    case kMethodZstd:
      return "zstd";
    default:
      return std::to_string(method);
  }
}

}  // namespace skopsfs::zip
