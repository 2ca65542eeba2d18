#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/models/config_fields.hpp"

namespace greentrainer {

/// What an architecture says of its rotary embedding where config.json does not.
struct RotaryDefaults {
  double theta = 10000;
  double rotated_share = 1;            ///< of a head's columns
  bool follows_rotated_share = false;  ///< whether config.json's partial_rotary_factor says otherwise
  bool interleaved = false;
  std::string_view theta_field = "rope_theta";  ///< outside of sections
  std::string_view share_field = "partial_rotary_factor";
  std::optional<Extent> original_positions = {};  ///< Phi-3's, whatever a section says
  bool longrope_alone = false;                    ///< Phi-3's: "su" and "yarn" are longrope, and no other kind is there
};

namespace detail {

inline double positive_number(const ConfigReader& section, std::string_view field, double value) {
  if (value > 0) return value;
  throw ConfigError("config", text(section.source(), ", field \"", field, "\""),
                    text("expected a positive number, got ", value));
}

inline double yarn_amplitude(const ConfigReader& section, double factor) {
  const auto log_scale = [&](double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1; };
  const double mscale = section.get_or<double>("mscale", 0), all = section.get_or<double>("mscale_all_dim", 0);
  const double inferred = mscale != 0 && all != 0 ? log_scale(mscale) / log_scale(all) : log_scale(1);
  return section.get_or<double>("attention_factor", inferred);
}

/// Factors of every pair, for sequences within the original context and beyond; their number is looked at later.
inline void read_longrope(const ConfigReader& section, Extent positions, RotaryShape& shape) {
  RotaryScaling& s = shape.scaling;
  s.kind = RotaryScaling::Kind::longrope;
  s.factor = positive_number(section, "factor",
                             section.get_or<double>("factor", static_cast<double>(positions) / s.original_positions));
  s.factors = section.get<std::vector<double>>("short_factor");
  s.factors_beyond = section.get<std::vector<double>>("long_factor");
  const double inferred = s.factor <= 1 ? 1 : std::sqrt(1 + std::log(s.factor) / std::log(s.original_positions));
  shape.amplitude = positive_number(section, "attention_factor", section.get_or<double>("attention_factor", inferred));
  s.factor = 1;  // counts for the amplitude alone
}

inline void expect_factors(const ConfigReader& section, const RotaryShape& shape) {
  const auto expect = [&](const char* field, const std::vector<double>& factors) {
    if (static_cast<Extent>(factors.size()) != shape.pairs())
      throw ConfigError(
          "config", text(section.source(), ", field \"", field, "\""),
          text("expected ", shape.pairs(), " numbers, one for each pair of columns that turns, got ", factors.size()));
    for (const double factor : factors) positive_number(section, field, factor);
  };
  expect("short_factor", shape.scaling.factors);
  expect("long_factor", shape.scaling.factors_beyond);
}

/// The kind of scaling that a section asks for. Throws ConfigError for one that the architecture does not have.
inline std::string kind_of_scaling(const ConfigReader& section, const RotaryDefaults& defaults) {
  const char* const field = section.has("rope_type") ? "rope_type" : "type";
  const std::string type = section.get_or<std::string>(field, "default");
  section.ignore({"type", "rope_type"});
  if (!defaults.longrope_alone || type == "default") return type;
  if (type == "longrope" || type == "su" || type == "yarn") return "longrope";
  throw ConfigError("config", text(section.source(), ", field \"", field, "\""),
                    text("expected default or longrope, got ", type));
}

/// The scaling that a section rope_scaling or rope_parameters asks for, of a model of so many positions. Throws
/// ConfigError for a kind that is not followed.
inline void read_scaling(const ConfigReader& section, Extent positions, const RotaryDefaults& defaults,
                         RotaryShape& shape) {
  const std::string type = kind_of_scaling(section, defaults);
  RotaryScaling& s = shape.scaling;
  const auto number = [&](const char* field, double fallback) {
    return positive_number(section, field, section.get_or<double>(field, fallback));
  };
  s.original_positions = number("original_max_position_embeddings", static_cast<double>(positions));
  if (defaults.original_positions) s.original_positions = static_cast<double>(*defaults.original_positions);
  // Stretches with the sequence, from the model's positions on: no sequence is as long.
  if (type == "default" || type == "dynamic") {
    if (type == "dynamic") section.ignore({"factor"});
    s = {};
    return;
  }
  if (type == "longrope") return read_longrope(section, positions, shape);
  s.factor = positive_number(section, "factor", section.get<double>("factor"));
  if (type == "linear") {
    s.kind = RotaryScaling::Kind::linear;
    s.original_positions = 0;
  } else if (type == "llama3") {
    s.kind = RotaryScaling::Kind::llama3;
    s.low_frequency_factor = positive_number(section, "low_freq_factor", section.get<double>("low_freq_factor"));
    s.high_frequency_factor = positive_number(section, "high_freq_factor", section.get<double>("high_freq_factor"));
    if (s.high_frequency_factor <= s.low_frequency_factor) {
      throw ConfigError(
          "config", text(section.source(), ", field \"high_freq_factor\""),
          text("expected more than low_freq_factor = ", s.low_frequency_factor, ", got ", s.high_frequency_factor));
    }
  } else if (type == "yarn") {
    s.kind = RotaryScaling::Kind::yarn;
    s.beta_fast = number("beta_fast", 32);
    s.beta_slow = number("beta_slow", 1);
    s.truncate = section.get_or<bool>("truncate", true);
    shape.amplitude = yarn_amplitude(section, s.factor);
  } else {
    throw ConfigError("config", text(section.source(), ", field \"rope_type\""),
                      text("expected default, linear, dynamic, llama3, yarn or longrope, got ", type));
  }
}

/// Columns of a head that turn. transformers cuts the product off; scaled frequencies of a Llama would be of fewer
/// pairs than it turns.
inline Extent rotated_columns(const std::string& source, Extent head_dim, double share, bool follows,
                              const RotaryScaling& scaling) {
  const auto fail = [&](const auto&... detail) {
    throw ConfigError("config", text(source, ", field \"partial_rotary_factor\""), text(detail...));
  };
  if (!follows) {
    if (scaling.kind != RotaryScaling::Kind::none && share != 1)
      fail("expected 1 beside scaled frequencies, got ", share);
    return head_dim;
  }
  if (!(share > 0) || share > 1) fail("expected more than 0, and at most 1, got ", share);
  const auto columns = static_cast<Extent>(static_cast<double>(head_dim) * share);
  if (columns < 2 || columns % 2 != 0) {
    fail("expected a share of head_dim = ", head_dim, " that is an even number of columns, got ", share, ", which is ",
         columns);
  }
  return columns;
}

/// From one section, over the defaults; `source` is the file's name, for errors.
inline RotaryShape rotary_of_section(const std::optional<ConfigReader>& section, Extent head_dim, Extent positions,
                                     const RotaryDefaults& defaults, const std::string& source) {
  RotaryShape shape{.head_dim = head_dim, .interleaved = defaults.interleaved, .theta = defaults.theta};
  double share = defaults.rotated_share;
  if (section) {
    read_scaling(*section, positions, defaults, shape);
    shape.theta = section->get_or<double>("rope_theta", shape.theta);
    share = section->get_or<double>("partial_rotary_factor", share);
    if (!section->unread().empty())
      section->refuse(section->unread().front(), "it is none of the numbers of this rope_type");
  }
  if (shape.theta <= 0)
    throw ConfigError("config", text(source, ", field \"rope_theta\""),
                      text("expected a positive number, got ", shape.theta));
  const Extent columns = rotated_columns(source, head_dim, share, defaults.follows_rotated_share, shape.scaling);
  shape.rotated = columns == head_dim ? 0 : columns;
  if (shape.scaling.kind == RotaryScaling::Kind::longrope) expect_factors(*section, shape);
  return shape;
}

}  // namespace detail

/// The rotary embedding that config.json describes: rope_scaling or, where that is empty, the rope_parameters that
/// newer versions of transformers write, or rope_theta. Throws ConfigError naming the field that is out of range or not
/// followed.
inline RotaryShape rotary_from(const ConfigReader& config, Extent head_dim, Extent positions,
                               RotaryDefaults defaults = {}) {
  defaults.theta = config.get_or<double>(defaults.theta_field, defaults.theta);
  defaults.rotated_share = config.get_or<double>(defaults.share_field, defaults.rotated_share);
  config.ignore({"rope_scaling", "rope_parameters"});
  const char* const field = config.is_off("rope_scaling") ? "rope_parameters" : "rope_scaling";
  return detail::rotary_of_section(config.section(field), head_dim, positions, defaults, config.source());
}

}  // namespace greentrainer
