// SPDX-License-Identifier: Apache-2.0
// Keys of the data: token files, how they are split, and the tokenizer of those that have
// none.
#include <vector>

#include "trireme/deck/tokenizer.hpp"

#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kPackings[] = {{"packed", code(Packing::packed)},
                                {"pack_until_overflow", code(Packing::until_overflow)},
                                {"unpacked", code(Packing::unpacked)}};

std::span<const Choice> tokenizer_choices() {
  static const std::vector<Choice> choices = [] {
    std::vector<Choice> all;
    for (const TokenizerTypeRow& row : tokenizer_types()) {
      all.push_back({row.name, code(row.type)});
    }
    return all;
  }();
  return choices;
}

const Key kDataKeys[] = {
    {"data_path",
     "",
     [](D d) -> Field { return &d.deck.data_path; },
     "one or more token files, PREFIX of Megatron's PREFIX.bin and PREFIX.idx, or shards of "
     "llm.c; divided by split into train, valid and test",
     {},
     Need::open,
     Origin::megatron},
    {"split",
     "",
     [](D d) -> Field { return &d.deck.split; },
     "shares of train, valid and test documents; left out: \"969, 30, 1\", without parts whose "
     "share is less than a batch",
     {},
     Need::open,
     Origin::megatron},
    {"train_data_paths",
     "",
     [](D d) -> Field { return &d.deck.train_data_paths; },
     "data to train on, instead of data_path and in its formats",
     {},
     Need::open},
    {"valid_data_paths",
     "",
     [](D d) -> Field { return &d.deck.valid_data_paths; },
     "data to evaluate on",
     {},
     Need::open},
    {"test_data_paths",
     "",
     [](D d) -> Field { return &d.deck.test_data_paths; },
     "data to evaluate on",
     {},
     Need::open},
    {"train_data_weights", "", [](D d) -> Field { return &d.deck.train_data_weights; },
     "share of each file; null: equal shares", kNotNegative, Need::open},
    {"valid_data_weights", "", [](D d) -> Field { return &d.deck.valid_data_weights; },
     "share of each file; null: equal shares", kNotNegative, Need::open},
    {"test_data_weights", "", [](D d) -> Field { return &d.deck.test_data_weights; },
     "share of each file; null: equal shares", kNotNegative, Need::open},
    {"weight_by_num_documents", "",
     [](D d) -> Field { return &d.deck.weight_by_num_documents; },
     "shares of files by their documents: share^alpha · (1 − share), scaled to 1"},
    {"weighted_sampler_alpha", "", [](D d) -> Field { return &d.deck.weighted_sampler_alpha; },
     "exponent alpha of weight_by_num_documents", kNotNegative},
    {"train_label_data_paths",
     "",
     [](D d) -> Field { return &d.deck.train_label_data_paths; },
     "Megatron's indexed data beside each of train_data_paths: the token, or -100 where the "
     "loss leaves it out",
     {},
     Need::open},
    {"valid_label_data_paths",
     "",
     [](D d) -> Field { return &d.deck.valid_label_data_paths; },
     "likewise for valid_data_paths",
     {},
     Need::open},
    {"test_label_data_paths",
     "",
     [](D d) -> Field { return &d.deck.test_label_data_paths; },
     "likewise for test_data_paths",
     {},
     Need::open},
    {"pack_impl", "", [](D d) -> Field { return named(d.deck.pack_impl, kPackings); },
     "how documents fill samples: end to end; whole ones until the next does not fit; one a "
     "sample"},
    {"allow_chopped", "", [](D d) -> Field { return &d.deck.allow_chopped; },
     "documents longer than a sample lose their end; false: they are left out. Without effect "
     "on pack_impl: packed"},
    {"eod_mask_loss", "", [](D d) -> Field { return &d.deck.eod_mask_loss; },
     "leave the prediction that follows an end of document out of the loss"},
    {"end_of_document",
     "",
     [](D d) -> Field { return &d.deck.end_of_document; },
     "id that ends documents, where the data don't say it; -1: what vocab_file says",
     {.low = -1, .high = 2147483647},
     Need::usual,
     Origin::trireme},
    {"tokenizer_type", "",
     [](D d) -> Field { return named(d.deck.tokenizer_type, tokenizer_choices()); },
     "kind of tokenizer that vocab_file must hold, by GPT-NeoX's name; null: any"},
    {"vocab_file",
     "",
     [](D d) -> Field { return &d.deck.vocab_file; },
     "file or folder of the tokenizer that made the data; gives vocab_size and "
     "end_of_document where the data don't say them",
     {},
     Need::open},
    {"merge_file",
     "",
     [](D d) -> Field { return &d.deck.merge_file; },
     "merges of GPT2BPETokenizer; null: merges.txt beside vocab_file",
     {},
     Need::open},
    {"tokenizer_encoding",
     "",
     [](D d) -> Field { return &d.deck.tokenizer_encoding; },
     "encoding whose pattern and special tokens a .tiktoken file in vocab_file needs, such as "
     "llama3; null: that of a file that OpenAI or Qwen published",
     {},
     Need::open,
     Origin::trireme},
    {"reset_position_ids",
     "",
     [](D d) -> Field { return &d.deck.model.reset_position_ids; },
     "count positions from the beginning of each document",
     {},
     Need::usual,
     Origin::megatron},
    {"reset_attention_mask",
     "",
     [](D d) -> Field { return &d.deck.model.reset_attention_mask; },
     "attention ends at documents",
     {},
     Need::usual,
     Origin::megatron},
    {"mask_prob", "mlm_probability", [](D d) -> Field { return &d.deck.mask_prob; },
     "share of tokens that a masked language model must find", kFraction, Need::usual,
     Origin::megatron},
    {"whole_word_mask",
     "do_whole_word_mask",
     [](D d) -> Field { return &d.deck.whole_word_mask; },
     "mask all tokens of a word, or none",
     {},
     Need::usual,
     Origin::trireme},
    {"mask_token_id",
     "",
     [](D d) -> Field { return &d.deck.mask_token_id; },
     "id that stands for a masked token; -1: [MASK] or <mask> of the data's tokenizer",
     {.low = -1, .high = 2147483647},
     Need::usual,
     Origin::trireme},
    {"augmentation.shift",
     "",
     [](D d) -> Field { return &d.deck.augmentation.shift; },
     "most pixels by which a training image moves, up, down and to each side",
     {.low = 0, .high = 1e6},
     Need::usual,
     Origin::trireme},
    {"augmentation.flip",
     "",
     [](D d) -> Field { return &d.deck.augmentation.flip; },
     "show every second training image with left and right in each other's place",
     {},
     Need::usual,
     Origin::trireme},
    {"fim_rate", "", [](D d) -> Field { return &d.deck.fim_rate; },
     "share of documents that are rearranged for fill-in-the-middle", kFraction, Need::usual,
     Origin::megatron},
    {"fim_spm_rate", "", [](D d) -> Field { return &d.deck.fim_spm_rate; },
     "share of these whose suffix comes first", kFraction, Need::usual, Origin::megatron},
    {"fim_tokens", "", [](D d) -> Field { return &d.deck.fim_tokens; },
     "ids of the marks for prefix, middle and suffix", kNotNegative, Need::open,
     Origin::trireme},
};

}  // namespace

std::span<const Key> data_keys() { return kDataKeys; }

}  // namespace trireme::deck
