#include "support/samples.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>

#include "support/archive_builder.h"
#include "zip/format.h"

namespace skopsfs::testing {
namespace {

// SampleLines() as Python's bz2 and lzma modules compress it, in hexadecimal.
constexpr char kBzip2[] =
    "425a68393141592653594584235e056477d900701040007fe0022550035e00000014c9899064614c98990646"
    "14c9899064614c98990646052aaa1fed551fed4a1a47a980a24af4148fc0523f8148e85234291e0523e0291f"
    "2148fa0a47a0a4685234291a148d0a4685234291a148d0a4685234291a148d0a4685234291a148d0a4685234"
    "291a148d0a4685234291a148d0a4685234291a148d0a4685234291f2148e8523a148e8523a148e8523a148e8"
    "523a148f0291f60a24af80512578148f0291e0523c0a4700a24afb051256052302918148c0a47a0a47a054a9"
    "8148c0a46052302918148c054a98148c0a46052302918148c054a98148c0a46052302918148c054a98148c0a"
    "46052302918148e05238148e05238148e05238148e05238148e05238148e05238148e05238148e0291c0a470"
    "291c0a470291ec14495ec14495fe051257b051257fc5dc914e1424116108d780";

// With the 9 bytes that ZIP puts first: version, size of the properties, properties.
constexpr char kLzma[] =
    "090405005d0000100000361a4a1f08a02a58999be72403058e6b749a12460d12b0d08e50c08774a300951227"
    "d95f9028c55552e50d76568377df0d06f2976c4c12f7b162214046d3e07793c348a9713074c46fd6a586e4ad"
    "7df3e85d85e55522dcdf2c332c483589f21a49bacb2ed1e7fcfa92c2d752d9074d095c1910bdcbf0f7eae97b"
    "4698e0ba302c373d15beebddaac90640d6960e6df4e0c7bd933f907851c2a20ede14e8636b075efb6fc22118"
    "a81c734bfbc84fe8133db7e380ba23a8f8068bd9f57fd60d1b3f7d77ab8314216ed1d57af33e14536276ac59"
    "e4e55b0508f9c7daadfcfb522b74cd1e5b2042f9dd533df82964093b80cb2a6cdfb53bf0c4bcbee222d14fff"
    "fff2318680";

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

}  // namespace

std::string Noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::string Numbers(size_t size) {
  std::mt19937 random(1);
  std::string bytes(size, '\0');
  for (size_t at = 0; at + sizeof(double) <= size; at += sizeof(double)) {
    const double number = (static_cast<double>(random() % 4001) - 2000) / 1000;
    std::memcpy(bytes.data() + at, &number, sizeof(number));
  }
  return bytes;
}

std::string SampleLines() {
  std::string lines;
  char line[16];
  for (int i = 0; i < 60000; ++i) {
    std::snprintf(line, sizeof(line), "line %06d\n", i % 50);
    lines += line;
  }
  return lines;
}

std::string CompressedSampleLines(uint16_t method) {
  switch (method) {
    case zip::kMethodDeflated:
      return Deflate(SampleLines());
    case zip::kMethodBzip2:
      return FromHex(kBzip2);
    case zip::kMethodLzma:
      return FromHex(kLzma);
    default:
      throw std::invalid_argument("CompressedSampleLines");
  }
}

std::string DataPath(const std::string& name) { return SKOPSFS_TEST_DATA "/" + name; }

}  // namespace skopsfs::testing
