#include "supervisor/service_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>

#include "util/number.h"

namespace skopsfs::supervisor {
namespace {

using handover::SupervisorState;

constexpr size_t kFewest = 64;  // else the store is of no use
constexpr size_t kOthers = 16;  // what is stored beside archives
// The manager gives all names to the next start as one variable, separated by colons, and the
// kernel executes no program with one that is larger than 128 KiB.
constexpr size_t kMostNameBytes = 100'000;
// Of a manager that takes nothing, as far as archives are concerned.
constexpr size_t kMostQueued = size_t{4} * ServiceStore::kMost;
constexpr auto kPause = std::chrono::milliseconds(10);
constexpr auto kPauseAtEnd = std::chrono::milliseconds(1);

std::string NameOf(const ServiceStore::Kept& kept) {
  return fmt::format("{}{:x}-{:x}", kStoredKept, kept.number, kept.slot);
}

std::string NameOfFacts(uint64_t number) { return fmt::format("{}{}", kStoredFacts, number); }

}  // namespace

ServiceStore::ServiceStore() {
  const char* const room = getenv(kStoreVariable);
  const auto most = room != nullptr ? util::ParseNumber<size_t>(room) : std::nullopt;
  if (socket_.is_there() && most && *most >= kFewest) most_ = std::min(*most, kMost);
}

void ServiceStore::Save(const SupervisorState& state) {
  if (!is_there()) return;
  auto facts_alone = state;
  facts_alone.worker_pid.reset();
  facts_alone.left_behind.clear();
  facts_alone.kept.clear();
  facts_alone.stored_facts.reset();
  facts_alone.source_is_looked_for = false;  // the next start opens it
  auto facts = facts_alone.Facts();
  if (facts == last_facts_) return;
  auto memory = handover::SealedMemory(facts);
  if (!facts_) {
    for (const auto& [name, fd] : kStoredDescriptors) Put(std::string(name), state.*fd);
  }
  const auto old = facts_;
  facts_ = old.value_or(0) + 1;
  Put(NameOfFacts(*facts_), memory.get());
  if (old) Remove(NameOfFacts(*old));
  facts_memory_ = std::move(memory);
  last_facts_ = std::move(facts);
  if (old) return;
  for (size_t i = 0; i < state.kept.size(); ++i) Keep(state.kept[i], state.kept_descriptors[i]);
}

void ServiceStore::Keep(const Kept& kept, int fd) {
  if (!facts_) return;
  const bool has_room = stored_.size() + kOthers < most_ && name_bytes_ < kMostNameBytes &&
                        queue_.size() < kMostQueued;
  if (has_room) Put(NameOf(kept), fd);
}

void ServiceStore::Drop(const Kept& kept) {
  if (facts_) Remove(NameOf(kept));
}

void ServiceStore::Restore(const SupervisorState& state) {
  facts_ = state.stored_facts;
  if (!facts_) return;
  for (const auto& [name, fd] : kStoredDescriptors) Found(std::string(name));
  Found(NameOfFacts(*facts_));
  for (const auto& kept : state.kept) Found(NameOf(kept));
  for (const auto& [name, fd] : stored_) name_bytes_ += name.size() + 1;
}

void ServiceStore::Put(const std::string& name, int fd) {
  if (!stored_.emplace(name, fd).second) return;
  name_bytes_ += name.size() + 1;
  queue_.push_back({.is_put = true, .name = name});
  SendRest();
}

void ServiceStore::Remove(const std::string& name) {
  const auto found = stored_.find(name);
  if (found == stored_.end()) return;
  if (found->second == kSent) queue_.push_back({.is_put = false, .name = name});
  stored_.erase(found);
  name_bytes_ -= std::min(name_bytes_, name.size() + 1);
  SendRest();
}

void ServiceStore::SendRest() {
  due_.reset();
  for (; !queue_.empty(); queue_.pop_front()) {
    const auto& [is_put, name] = queue_.front();
    const auto found = is_put ? stored_.find(name) : stored_.end();
    const bool is_wanted = found != stored_.end() && found->second != kSent;
    if (is_put && !is_wanted) continue;  // it was removed meanwhile
    const bool sent = is_put ? socket_.TrySend("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, found->second)
                             : socket_.TrySend("FDSTOREREMOVE=1\nFDNAME=" + name);
    if (!sent) {
      due_ = Clock::now() + kPause;
      return;
    }
    if (is_put) found->second = kSent;
  }
}

void ServiceStore::SendAll(Clock::duration patience) {
  auto left = queue_.size();
  auto end = Clock::now() + patience;
  for (SendRest(); due_ && Clock::now() < end; SendRest()) {
    if (std::exchange(left, queue_.size()) != left) end = Clock::now() + patience;
    std::this_thread::sleep_for(kPauseAtEnd);
  }
}

void ServiceStore::Clear() {
  while (!stored_.empty()) Remove(std::string(stored_.begin()->first));
}

}  // namespace skopsfs::supervisor
