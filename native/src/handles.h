// Native values that JavaScript holds, addressed by integers.
//
// Integers cost a twentieth of a wrapped object per result, and tensors die when a `tidy` scope says so
// instead of when a garbage collector gets to it. A handle is a slot and a generation: reusing a slot changes
// the generation, so a stale handle is an error and not another tensor, unless it is kept while its slot is
// used two thousand times more. Tensors in TypeScript forget theirs when they are disposed.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <vector>

namespace mallows {

using Handle = uint32_t;

class HandleTable {
 public:
  HandleTable();
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  Handle add(c10::IValue value);
  /// Throws `tensor-disposed` when the handle's value was released.
  const c10::IValue& get(Handle handle) const;
  const at::Tensor& tensor(Handle handle) const;
  /// Releases the value; a stale handle is ignored, so disposing twice is harmless.
  void release(Handle handle);
  /// Tensors only: generators and mapped files are not counted.
  size_t liveTensors() const { return liveTensors_; }

 private:
  // 20 + 11 bits keep a handle within V8's small integers, which need no allocation.
  static constexpr uint32_t kSlotBits = 20;
  static constexpr uint32_t kSlotMask = (1u << kSlotBits) - 1;
  static constexpr uint32_t kGenerationMask = (1u << 11) - 1;

  struct Slot {
    c10::IValue value;
    uint32_t generation = 0;
    bool live = false;
  };

  const Slot* find(Handle handle) const;

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t liveTensors_ = 0;
};

}  // namespace mallows
