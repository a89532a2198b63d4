from outgate.api.cel import Rule, at_most, choose, no_duplicates, say


def test_a_rule_leaves_out_what_is_not_set() -> None:
    assert Rule("self > 0", "too small").rendered() == {"rule": "self > 0", "message": "too small"}


def test_a_rule_has_its_expression_and_the_field_to_blame() -> None:
    rendered = Rule("true", "no", "'no'", ".ipv4").rendered()
    assert rendered["messageExpression"] == "'no'"
    assert rendered["fieldPath"] == ".ipv4"


def test_braces_in_a_message_are_cel() -> None:
    assert say("'{self}' is odd") == """"'" + self + "' is odd\""""


def test_quotes_in_a_message_are_escaped() -> None:
    assert say('write "a"') == r'"write \"a\""'


def test_a_text_without_a_bound_is_put_in_by_replace() -> None:
    assert say("@ is odd", at="string(self)") == "(\"@ is odd\").replace('@', string(self))"


def test_the_first_case_that_holds_is_said() -> None:
    chosen = choose(("a", "one"), ("b", "two"), otherwise="three")
    assert chosen == 'a ? "one" : b ? "two" : "three"'


def test_ipv4_is_compared_in_two_blocks_of_bits_and_ipv6_in_eight() -> None:
    assert "[0, 16].filter" in at_most("a", "b", 4)
    assert "[0, 16, 32, 48, 64, 80, 96, 112].filter" in at_most("a", "b", 6)


def test_duplicates_are_named_in_the_words_of_their_list() -> None:
    assert "list each network once" in no_duplicates("network").says
