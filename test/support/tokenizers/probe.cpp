// SPDX-License-Identifier: Apache-2.0
// tokenizer_probe PART FILE: applies one part of a tokenizer to each record of the standard
// input, for compare_pieces.py. A record is its size as four bytes, the lowest first, and its
// bytes. PART is normalizer, pre_tokenizer, model or decoder with FILE its JSON, or sp_encode or
// sp_decode with FILE a SentencePiece model. Lists are JSON.
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "../../../src/tokenizer/decoder.hpp"
#include "../../../src/tokenizer/model.hpp"
#include "../../../src/tokenizer/normalizer.hpp"
#include "../../../src/tokenizer/pre_tokenizer.hpp"
#include "../../../src/tokenizer/sentence_piece.hpp"

using namespace trireme;
using nlohmann::json;

namespace {

using Apply = std::function<std::string(std::string)>;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  TRM_REQUIRE(file.good(), "cannot read {}", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Apply normalizer(const std::string& file) {
  std::shared_ptr<Normalizer> part = make_normalizer(json::parse(file), "normalizer");
  return [part](std::string text) {
    part->apply(text, {});
    return text;
  };
}

Apply pre_tokenizer(const std::string& file) {
  std::shared_ptr<PreTokenizer> part =
      make_plain_pre_tokenizer(json::parse(file), "pre_tokenizer");
  return [part](std::string text) {
    Pieces pieces;
    pieces.text = std::move(text);
    if (!pieces.text.empty()) pieces.ends.push_back(pieces.text.size());
    part->split(pieces);
    json list = json::array();
    for (std::size_t i = 0; i < pieces.ends.size(); ++i) list.push_back(pieces.piece(i));
    return dump(list);
  };
}

Apply model(const std::string& file) {
  const json spec = json::parse(file);
  const std::string type = spec.at("type");
  std::shared_ptr<Model> part = type == "WordPiece" ? make_word_piece(spec, "model")
                                : type == "Unigram" ? make_unigram(spec, "model")
                                                    : make_word_level(spec, "model");
  return [part](const std::string& text) {
    std::vector<std::int32_t> ids;
    if (!text.empty()) part->encode(text, ids);
    return dump(ids);
  };
}

Apply decoder(const std::string& file) {
  std::shared_ptr<Decoder> part = make_decoder(json::parse(file), "decoder");
  return [part](const std::string& text) {
    auto tokens = json::parse(text).get<std::vector<std::string>>();
    part->apply(tokens);
    std::string joined;
    for (const std::string& token : tokens) joined += token;
    return joined;
  };
}

Apply sp_encode(const std::string& file) {
  std::shared_ptr<Tokenizer> part = read_sentence_piece(file, "model");
  return [part](const std::string& text) {
    std::vector<std::int32_t> ids;
    part->encode(text, ids);
    return dump(ids);
  };
}

Apply sp_decode(const std::string& file) {
  std::shared_ptr<Tokenizer> part = read_sentence_piece(file, "model");
  return [part](const std::string& text) {
    return part->decode(json::parse(text).get<std::vector<std::int32_t>>());
  };
}

void run(const std::string& part, const std::string& path) {
  const std::map<std::string, Apply (*)(const std::string&)> parts{
      {"normalizer", normalizer}, {"pre_tokenizer", pre_tokenizer}, {"model", model},
      {"decoder", decoder},       {"sp_encode", sp_encode},         {"sp_decode", sp_decode}};
  const Apply apply = parts.at(part)(read_file(path));
  std::string record;
  std::size_t bytes = 0;
  std::chrono::duration<double> spent{};
  for (unsigned char size[4]; std::cin.read(reinterpret_cast<char*>(size), 4);) {
    record.resize(size[0] | size[1] << 8 | size[2] << 16 | static_cast<std::size_t>(size[3]) << 24);
    std::cin.read(record.data(), static_cast<std::streamsize>(record.size()));
    bytes += record.size();
    const auto begin = std::chrono::steady_clock::now();
    const std::string result = apply(record);
    spent += std::chrono::steady_clock::now() - begin;
    for (unsigned shift = 0; shift < 32; shift += 8) {
      std::cout.put(static_cast<char>(result.size() >> shift & 0xff));
    }
    std::cout << result;
  }
  std::cerr << fmt::format("{}: {:.1f} MB/s\n", part, static_cast<double>(bytes) / 1e6 / spent.count());
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  if (argc != 3) return 2;
  try {
    run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
