"""What PEFT's own suite checks, and what lorakit promises in its place: the table behind docs/supported.md."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """what, peft: a property of PEFT's suite and its tolerance. ours: lorakit's. tests: where it is checked."""

    what: str
    peft: str
    ours: str
    tests: tuple[str, ...]


PROPERTIES = {
    1: Property(
        "a fresh adapter changes nothing",
        "1e-8 + 1e-5 relative",
        "bit for bit in float32, float16 and bfloat16",
        ("test_a_fresh_adapter_equals_the_base_bit_for_bit",),
    ),
    2: Property(
        "merging, unmerging and unloading keep the logits",
        "1e-4",
        "merging: a derived bound, one rounding of each weight carried to the logits, in all three dtypes, and 3e-6 "
        "relative in float32; unmerging: every tensor bit for bit in all three",
        (
            "test_merged_logits_differ_by_no_more_than_one_rounding_of_the_weights",
            "test_merged_and_unmerged_logits_agree_in_float32",
            "test_unmerging_restores_the_base_bit_for_bit",
        ),
    ),
    3: Property(
        "merging does move the base",
        "1e-10",
        "every adapted matrix differs, and the logits by more than 1e-4 of their size",
        ("test_merging_moves_the_weights_and_the_logits",),
    ),
    4: Property(
        "merging twice adds nothing, with a warning",
        "1e-6",
        "refused, and nothing changes by a bit",
        ("test_merging_twice_is_refused_and_adds_nothing",),
    ),
    5: Property(
        "the merged model can be saved as a plain one",
        "1e-6",
        "saved, loaded without lorakit, the same bits",
        ("test_a_merged_model_is_saved_as_a_plain_model_that_gives_the_same_bits",),
    ),
    6: Property(
        "merging NaN or infinity raises",
        "raises",
        "raises, names the layer, and no layer stays merged",
        ("test_merging_what_is_not_finite_is_refused_whole",),
    ),
    7: Property(
        "after three Adam steps merged equals unmerged, and off equals the base, also while merged",
        "1e-5",
        "3e-6 relative; off equals the base bit for bit; switching off while merged is refused",
        ("test_after_three_adam_steps_merged_equals_unmerged_and_off_equals_the_base",),
    ),
    8: Property(
        "switching off gives the base, switching on the adapter again",
        "1e-6",
        "bit for bit in three dtypes",
        ("test_without_an_active_adapter_the_model_is_the_base_and_comes_back_bit_for_bit",),
    ),
    9: Property(
        "saved and loaded under another seed",
        "1e-5, logits 1e-4",
        "bit for bit, merged too; missing, unexpected, misshapen or non-finite tensors and another base are refused",
        (
            "test_an_adapter_loads_bit_for_bit_whatever_the_seed",
            "test_loading_accounts_for_every_key_and_changes_nothing_when_it_refuses",
            "test_an_adapter_of_another_base_is_refused",
        ),
    ),
    10: Property(
        "every trained tensor comes back",
        "1e-4",
        "bit for bit, saved heads included",
        ("test_every_trained_tensor_comes_back_bit_for_bit",),
    ),
    11: Property(
        "three SGD steps (lr 0.5) move only the adapter",
        "1e-4",
        "every other parameter keeps its bits: the base's, other adapters', the base's own head",
        (
            "test_three_steps_of_sgd_move_the_active_adapter_and_nothing_else",
            "test_a_saved_head_moves_and_the_bases_own_head_does_not",
        ),
    ),
    12: Property(
        "no gradients on the base, some on every adapter",
        "exact",
        "exact; none of the adapter's is zero or not finite; and all pass gradcheck in float64, dropout on or off",
        (
            "test_gradients_are_none_on_the_base_and_never_on_the_adapter",
            "test_the_adapters_gradients_pass_gradcheck_in_float64",
        ),
    ),
    13: Property(
        "gradient checkpointing, both modes: the same parameters get gradients",
        "exact set",
        "the same gradients bit for bit, with the adapter's dropout on",
        ("test_gradient_checkpointing_gives_the_same_gradients_bit_for_bit",),
    ),
    14: Property(
        "rows of a mixed batch equal rows alone; impossible requests raise",
        "1e-4",
        "20 eps relative in float32 (2.4e-6), 3 eps in bfloat16; generated tokens equal, their scores within 20 eps; "
        "rows of the base bit for bit; what is refused changes nothing",
        (
            "test_every_row_of_mixed_rows_equals_that_row_alone_with_its_adapter",
            "test_rows_without_an_adapter_are_the_base_bit_for_bit",
            "test_mixed_generation_gives_each_prompt_its_own_tokens_and_scores",
            "test_what_cannot_be_mixed_is_refused_and_nothing_changes",
        ),
    ),
    15: Property(
        "a mixed batch takes less than twice a plain one's time",
        "2.0 x, timed",
        "no clock: exactly as many tensor operations with three adapters in the batch as with one",
        ("test_mixed_rows_takes_as_many_operations_with_three_adapters_as_with_one",),
    ),
    16: Property(
        "two adapters active at once; merging some of them",
        "1e-5 to 1e-3",
        "not offered, and refused: one adapter acts at a time, one per row in a mixed batch; merged one after the "
        "other, each is alone in the weights (3e-6 relative) and leaves nothing behind",
        (
            "test_adapters_merge_one_after_the_other_and_never_add_up",
            "test_what_cannot_be_mixed_is_refused_and_nothing_changes",
        ),
    ),
    17: Property(
        "the adapter's name changes nothing and stays out of the file",
        "1e-8 + 1e-5 relative; exact count",
        "bit for bit, files equal; names such as lora_A, base_layer and weight included",
        ("test_the_adapters_name_changes_nothing", "test_the_adapters_name_never_reaches_the_file"),
    ),
    18: Property(
        "deleting while merged raises; deleting leaves nothing",
        "exact",
        "exact: tensors, classes, requires_grad, attributes, printed form",
        (
            "test_deleting_a_merged_adapter_is_refused_and_nothing_changes",
            "test_deleting_leaves_no_trace",
        ),
    ),
    19: Property(
        "the adapter's dtype",
        "float32, or the base's",
        "float32 on every half-precision base, float64 on float64; outputs in the base's dtype, autocast or not (a "
        "float16 base, on a CPU, only without)",
        ("test_adapters_are_float32_and_outputs_keep_the_bases_dtype",),
    ),
    20: Property(
        "scaling with patterns; how A and B start",
        "exact; A uniform, Kolmogorov-Smirnov",
        "exact; B zero, A Gaussian of deviation 1 / sqrt(in) (Kolmogorov-Smirnov at 1 %), and not uniform",
        (
            "test_scaling_is_alpha_over_r_or_its_root_with_the_patterns_exactly",
            "test_b_starts_at_zero_and_a_gaussian_of_deviation_one_over_the_root_of_in",
        ),
    ),
    21: Property(
        "an adapter on one layer trains less and loads",
        "1e-4",
        "bit for bit; PEFT's own layers_to_transform is read",
        (
            "test_an_adapter_on_one_layer_trains_less_and_loads_bit_for_bit",
            "test_pefts_adapter_on_the_first_layer_alone_loads",
        ),
    ),
}

# Beside PEFT's twenty-one.
MORE = {
    "test_peft_gives_the_same_logits_for_what_lorakit_saved": "PEFT loads lorakit's files: logits within 3e-6 relative",
    "test_lorakit_gives_the_same_logits_for_what_peft_saved_and_hands_it_back": "lorakit loads PEFT's files: logits "
    "within 3e-6 relative, and writes the same tensors back",
    "test_a_block_that_is_used_twice_merges_once_and_acts_in_both_places": "a module under two names merges as one",
}
