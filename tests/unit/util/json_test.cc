#include "util/json.h"

#include <gtest/gtest.h>

namespace skopsfs::util {
namespace {

TEST(JsonWriter, TextOfAnyBytes) {
  JsonWriter json;
  json.BeginObject().Key("a").Text("x\xff\n\"").Key("b").Number(UINT64_MAX).Key("c").Null();
  json.EndObject();
  EXPECT_EQ(json.Line(),
            "{\"a\":\"x\xef\xbf\xbd\\n\\\"\",\"b\":18446744073709551615,\"c\":null}\n");
}

TEST(JsonWriter, InParts) {
  JsonWriter json;
  json.BeginArray().Bool(true).Real(0.5);
  EXPECT_EQ(json.Take(), "[true,0.5");
  EXPECT_EQ(json.BeginObject().EndObject().EndArray().Take(), ",{}]");
}

}  // namespace
}  // namespace skopsfs::util
