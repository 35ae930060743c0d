// Small text files of /proc and /sys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pfd {

// Whole content, trimmed at the end; empty when it cannot be read.
std::string text_of(const std::string& path);

// The number at the head of a text; nothing when there is none.
std::optional<std::int64_t> number_in(std::string_view text);
std::optional<std::int64_t> number_of(const std::string& path);

// Names in a folder that begin with `prefix`, sorted.
std::vector<std::string> entries(const std::string& folder, std::string_view prefix);

// What follows "NAME:" in a file of such lines, as /proc/PID/status; empty when there is none.
std::string field_of(const std::string& status, std::string_view name);

}  // namespace pfd
