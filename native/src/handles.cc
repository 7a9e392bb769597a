#include "handles.h"

#include <utility>

#include "errors.h"

namespace mallows {

// Slot 0 stays empty: TypeScript writes handle 0 into a tensor that was disposed.
HandleTable::HandleTable() : slots_(1) { slots_.reserve(1 << 14); }

Handle HandleTable::add(c10::IValue value) {
  uint32_t slot;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    slot = static_cast<uint32_t>(slots_.size());
    if (slot > kSlotMask) {
      throw Failure("too-many-tensors",
                    "more than 1,048,575 tensors are alive; wrap the loop's body in tidy()");
    }
    slots_.emplace_back();
  }
  Slot& entry = slots_[slot];
  if (value.isTensor()) ++liveTensors_;
  entry.value = std::move(value);
  entry.live = true;
  return (entry.generation << kSlotBits) | slot;
}

const HandleTable::Slot* HandleTable::find(Handle handle) const {
  const uint32_t slot = handle & kSlotMask;
  if (slot >= slots_.size()) return nullptr;
  const Slot& entry = slots_[slot];
  return entry.live && entry.generation == handle >> kSlotBits ? &entry : nullptr;
}

const c10::IValue& HandleTable::get(Handle handle) const {
  const Slot* entry = find(handle);
  if (entry == nullptr) throw Failure("tensor-disposed", "the tensor was disposed before this use");
  return entry->value;
}

const at::Tensor& HandleTable::tensor(Handle handle) const {
  const c10::IValue& value = get(handle);
  if (!value.isTensor()) throw Failure("invalid-argument", "the handle does not belong to a tensor");
  return value.toTensor();
}

void HandleTable::release(Handle handle) {
  if (find(handle) == nullptr) return;
  Slot& entry = slots_[handle & kSlotMask];
  // The value dies last: its destructor may free a graph, and the table is consistent by then.
  const c10::IValue dying = std::exchange(entry.value, c10::IValue());
  entry.live = false;
  entry.generation = (entry.generation + 1) & kGenerationMask;
  free_.push_back(handle & kSlotMask);
  if (dying.isTensor()) --liveTensors_;
}

}  // namespace mallows
