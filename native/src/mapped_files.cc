#include "mapped_files.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <torch/custom_class.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

/// The mapping is private: tensors over it may be written, and the file never changes. It ends when the file
/// handle and every tensor over it are gone.
struct MappedFile : torch::CustomClassHolder {
  explicit MappedFile(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw failure(path, errno);
    struct stat status {};
    bool usable = fstat(file, &status) == 0;
    // An empty file cannot be mapped and needs no mapping.
    if (usable && status.st_size > 0) {
      size = static_cast<size_t>(status.st_size);
      address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
      usable = address != MAP_FAILED;
    }
    const int error = errno;
    close(file);
    if (!usable) throw failure(path, error);
  }
  ~MappedFile() override {
    if (size > 0) munmap(address, size);
  }

  void* address = nullptr;
  size_t size = 0;

 private:
  static Failure failure(const std::string& path, int error) {
    return Failure("file-unreadable", "cannot map " + path + ": " + std::strerror(error));
  }
};

napi_value mapFile(napi_env env, napi_callback_info info) {
  return guarded(env, "mapFile", [&] {
    const auto arguments = Arguments<1>(env, info);
    auto file = c10::make_intrusive<MappedFile>(toString(env, arguments[0]));
    napi_value result;
    napi_create_object(env, &result);
    setProperty(env, result, "size", makeNumber(env, static_cast<double>(file->size)));
    const Handle handle = environmentOf(env).handles.add(c10::IValue::make_capsule(std::move(file)));
    setProperty(env, result, "handle", makeHandle(env, handle));
    return result;
  });
}

/// `mappedTensor(file, offset, shape, dtype)` → handle. A misaligned offset is copied, since kernels need
/// alignment.
napi_value mappedTensor(napi_env env, napi_callback_info info) {
  return guarded(env, "mapped tensor", [&] {
    const auto arguments = Arguments<4>(env, info);
    HandleTable& handles = environmentOf(env).handles;
    auto file = c10::static_intrusive_pointer_cast<MappedFile>(
        c10::IValue(handles.get(toHandle(env, arguments[0]))).toCapsule());
    const int64_t offset = toInteger(env, arguments[1]);
    const std::vector<int64_t> shape = toIntegers(env, arguments[2]);
    const at::ScalarType scalar = toScalarType(env, arguments[3]);
    const size_t width = c10::elementSize(scalar);

    // In 128 bits no product of a hostile header's numbers overflows before it is compared.
    unsigned __int128 bytes = width;
    for (const int64_t extent : shape) {
      if (extent < 0) throw Failure("invalid-argument", "a shape has no negative entries");
      bytes =
          std::min(bytes * static_cast<unsigned __int128>(extent), static_cast<unsigned __int128>(1) << 63);
    }
    if (offset < 0 || static_cast<unsigned __int128>(offset) + bytes > file->size) {
      throw Failure("out-of-bounds",
                    "the tensor ends past the file's " + std::to_string(file->size) + " bytes");
    }
    const at::TensorOptions options(scalar);
    if (bytes == 0) return makeHandle(env, handles.add(at::empty(shape, options)));
    char* data = static_cast<char*>(file->address) + offset;
    if (offset % static_cast<int64_t>(width) != 0) {
      at::Tensor copy = at::empty(shape, options);
      std::memcpy(copy.mutable_data_ptr(), data, static_cast<size_t>(bytes));
      return makeHandle(env, handles.add(std::move(copy)));
    }
    return makeHandle(env, handles.add(at::from_blob(
                               data, shape, [file](void*) {}, options)));
  });
}

}  // namespace

void defineMappedFiles(napi_env env, napi_value exports) {
  defineFunction(env, exports, "mapFile", mapFile);
  defineFunction(env, exports, "mappedTensor", mappedTensor);
}

}  // namespace mallows
