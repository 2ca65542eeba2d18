#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/component.hpp"

namespace greentrainer {

/// Rewrites a text before it is split: the "normalizer" of tokenizer.json.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string normalize(std::string text) const = 0;
};

namespace detail {

class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string normalize(std::string text) const override { return text.empty() ? text : prefix_ + text; }

 private:
  std::string prefix_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(TextPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string normalize(std::string text) const override { return pattern_.replace(text, content_); }

 private:
  TextPattern pattern_;
  std::string content_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  std::string normalize(std::string text) const override {
    for (const auto& part : parts_) text = part->normalize(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace detail

/// The normalizer that a part of tokenizer.json describes. Throws LoadError for a type that is not supported.
inline std::unique_ptr<Normalizer> make_normalizer(const Component& component) {
  const auto type = component.type();
  if (type == "Prepend") {
    component.allow({"prepend"});
    return std::make_unique<detail::PrependNormalizer>(component.text_of("prepend"));
  }
  if (type == "Replace") {
    component.allow({"pattern", "content"});
    return std::make_unique<detail::ReplaceNormalizer>(TextPattern(Component(component.at("pattern"), component.source() + ".pattern")), component.text_of("content"));
  }
  if (type == "Sequence") {
    component.allow({"normalizers"});
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const auto& part : component.list_of("normalizers")) parts.push_back(make_normalizer(part));
    return std::make_unique<detail::NormalizerSequence>(std::move(parts));
  }
  component.fail_unknown_type("Prepend, Replace, Sequence");
}

}  // namespace greentrainer
