// SPDX-License-Identifier: Apache-2.0
// Post-processors of a tokenizer.json: the tokens that begin and end a text.
#include "post_processor.hpp"

#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "part_fields.hpp"

namespace trireme {

using nlohmann::json;

namespace {

using Ids = std::vector<std::int32_t>;

/// Puts fixed ids around the text.
class Around final : public PostProcessor {
 public:
  explicit Around(Surroundings ids) : ids_(std::move(ids)) {}
  void surround(Surroundings& ids) const override {
    ids.before.insert(ids.before.begin(), ids_.before.begin(), ids_.before.end());
    ids.after.insert(ids.after.end(), ids_.after.begin(), ids_.after.end());
  }

 private:
  Surroundings ids_;
};

class SequenceProcessor final : public PostProcessor {
 public:
  SequenceProcessor(const json& spec, const std::string& where) {
    const Nesting nesting(where);
    const Fields fields(spec, where, {"processors"});
    const json& list = fields.array("processors");
    for (std::size_t i = 0; i < list.size(); ++i) {
      TRM_REQUIRE(!list[i].is_null(), "{}.processors[{}]: an object is needed", where, i);
      steps_.push_back(
          make_post_processor(list[i], fmt::format("{}.processors[{}]", where, i)));
    }
  }
  void surround(Surroundings& ids) const override {
    for (const auto& step : steps_) step->surround(ids);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

std::int32_t read_id(const json& value, const std::string& where) {
  TRM_REQUIRE(value.is_number_unsigned() &&
                  value.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max(),
              "{}: a token id is needed instead of {}", where, value.dump());
  return value.get<std::int32_t>();
}

/// A pair of a token and its id, such as "sep" and "cls" of BertProcessing.
std::int32_t id_of_pair(const Fields& fields, std::string_view name) {
  const json& pair = fields.array(name);
  if (pair.size() != 2 || !pair[0].is_string()) fields.refuse(name, "must be [token, id]");
  return read_id(pair[1], fields.where(name));
}

std::unique_ptr<PostProcessor> make_bert(const Fields& fields) {
  return std::make_unique<Around>(
      Surroundings{{id_of_pair(fields, "cls")}, {id_of_pair(fields, "sep")}});
}

Ids ids_of_special(const Fields& fields, const std::string& name) {
  const json& known = fields.object("special_tokens");
  const auto it = known.find(name);
  if (it == known.end()) {
    fields.refuse("special_tokens", fmt::format("lacks \"{}\", which the template uses", name));
  }
  const Fields token(*it, fields.where("special_tokens"), {"id", "ids", "tokens"});
  Ids ids;
  for (const json& id : token.array("ids")) ids.push_back(read_id(id, token.where("ids")));
  return ids;
}

std::unique_ptr<PostProcessor> make_template(const Fields& fields) {
  Surroundings ids;
  bool seen = false;
  for (const json& piece : fields.array("single")) {
    const bool one = piece.is_object() && piece.size() == 1;
    if (!one) fields.refuse("single", "must be a list of SpecialToken and Sequence");
    const std::string kind = piece.begin().key();
    const Fields part(piece.begin().value(), fields.where("single"), {"id", "type_id"});
    const std::string id = part.text("id");
    if (kind == "Sequence") {
      if (id != "A") fields.refuse("single", "uses the second of two texts");
      if (seen) fields.refuse("single", "repeats the text");
      seen = true;
    } else if (kind == "SpecialToken") {
      const Ids special = ids_of_special(fields, id);
      Ids& to = seen ? ids.after : ids.before;
      to.insert(to.end(), special.begin(), special.end());
    } else {
      fields.refuse("single", fmt::format("has the unknown part \"{}\"", kind));
    }
  }
  if (!seen) fields.refuse("single", "lacks the text itself");
  return std::make_unique<Around>(std::move(ids));
}

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(const json& spec, const std::string& where) {
  if (spec.is_null()) return nullptr;
  const std::string type = type_of(spec, where);
  if (type == "TemplateProcessing") {
    return make_template(Fields(spec, where, {"single", "pair", "special_tokens"}));
  }
  if (type == "BertProcessing") return make_bert(Fields(spec, where, {"sep", "cls"}));
  if (type == "RobertaProcessing") {  // two fields concern offsets alone
    return make_bert(Fields(spec, where, {"sep", "cls", "trim_offsets", "add_prefix_space"}));
  }
  if (type == "ByteLevel") {  // concerns offsets alone
    const Fields fields(spec, where, {"add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<Around>(Surroundings{});
  }
  if (type == "Sequence") return std::make_unique<SequenceProcessor>(spec, where);
  refuse_type(type, where,
              "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
}

}  // namespace trireme
