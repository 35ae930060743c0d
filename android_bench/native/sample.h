// One timed inference: what is inside a sample and what is not.
#pragma once

#include "engine.h"
#include "json.h"
#include "options.h"

#include <cstdint>
#include <span>
#include <vector>

namespace pfd {

struct Sample {
  std::int64_t duration_ns;
  std::int64_t cpu;  // that it ended on
};

using Tensors = std::vector<std::span<const std::byte>>;

// Duration of one inference in ns. The inputs are written before it starts, as an application
// does; a memory plan may have given their space to later tensors.
std::int64_t timed_inference(Engine& engine, const Tensors& inputs);

// The same as a sample, with its handicap.
Sample take_sample(Engine& engine, const Tensors& inputs, const Handicap& handicap);

struct Warmup {
  std::int64_t inferences = 0;
  std::int64_t elapsed_ns = 0;
};

// Runs until both the count and the time are reached.
Warmup warm_up(Engine& engine, const Tensors& inputs, std::int64_t iterations, std::int64_t ns);

// A line {"type":"samples"} with those of the numbers begin to end; at(i): the sample number i.
template <typename At>
Json samples_line(std::uint64_t begin, std::uint64_t end, At at) {
  Json json;
  json.begin_object().field("type", "samples").field("first", begin);
  json.key("ns").begin_array();
  for (auto i = begin; i < end; ++i) json.value(at(i).duration_ns);
  json.end_array().key("cpu").begin_array();
  for (auto i = begin; i < end; ++i) json.value(at(i).cpu);
  return json.end_array().end_object();
}

}  // namespace pfd
