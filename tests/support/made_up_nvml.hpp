#pragma once

#include <dlfcn.h>
#include <string>

#include <doctest/doctest.h>

#include "support/nvml_script.hpp"

namespace greentrainer::testing {

/// The made-up library of io/made_up_nvml.cpp, for the time of a test, which writes what it answers. At first it
/// answers everything, with a counter at 0.
class MadeUpNvml {
 public:
  explicit MadeUpNvml(const char* file = GREENTRAINER_MADE_UP_NVML) : path(file) {
    library_ = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    REQUIRE_MESSAGE(library_ != nullptr, ::dlerror());
    using Get = NvmlScript*();
    auto* const get = reinterpret_cast<Get*>(::dlsym(library_, "made_up_nvml_script"));
    script_ = get == nullptr ? nullptr : get();
    REQUIRE(script_ != nullptr);
    *script_ = {};
  }
  MadeUpNvml(const MadeUpNvml&) = delete;
  MadeUpNvml& operator=(const MadeUpNvml&) = delete;
  ~MadeUpNvml() { ::dlclose(library_); }

  NvmlScript* operator->() const { return script_; }

  const std::string path;

 private:
  void* library_ = nullptr;
  NvmlScript* script_ = nullptr;
};

}  // namespace greentrainer::testing
