"""Label files: every way of writing two classes means the same, and what is wrong is one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from img2tab_core.base.errors import Img2TabError
from img2tab_core.tables.bands import Bands, names_of
from img2tab_core.tables.label_files import labels_of, read_labels, rows_for, slug


@pytest.fixture
def read(tmp_path):
    """Read labels from the text of a file."""

    def read(text: str, name: str = "labels.csv", **options):
        file = tmp_path / name
        file.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return read_labels(file, **options)

    return read


def csv(column: str, cells: list[str]) -> str:
    return f"image,{column}\n" + "".join(f"{i}.jpg,{cell}\n" for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["-1", "1", "1", ""],
        ["0", "1", "1", ""],
        ["false", "true", "True", "NA"],
        ["no", "YES", "yes", "?"],
        ["0.0", "1.0", "1", "nan"],
        ["n", "y", "Y", "unknown"],
        ["0", "1", "1", "-1"],
    ],
)
def test_7_ways_to_write_two_classes_give_0_1_1_and_unknown(read, cells):
    found = read(csv("Wavy_Hair", cells))
    assert found.columns["wavy_hair"].tolist() == [0, 1, 1, -1]
    assert found.columns["wavy_hair"].dtype == np.int8
    (target,) = found.targets
    assert (target.name, target.title, target.classes) == ("wavy_hair", "Wavy Hair", ("not wavy hair", "wavy hair"))
    assert target.how.startswith("As labelled in labels.csv, column Wavy_Hair")
    assert found.names == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")


def test_2_categories_come_in_alphabetical_order_whatever_the_order_of_rows_and_the_spelling(read):
    found = read(csv("side", ["right", "Left", "left ", "", "Right"]))
    assert found.columns["side"].tolist() == [1, 0, 0, -1, 1]
    assert found.targets[0].classes == ("Left", "Right")
    assert read(csv("gender", ["M", "F"])).targets[0].classes == ("gender F", "gender M")
    assert read(csv("side", ["Right", "Left", "right"])).targets[0].classes == ("Left", "Right")


def test_3_categories_are_3_targets_each_against_all_others_where_that_is_asked_for(read):
    found = read(csv("party", ["Democrat", "Republican", "", "Independent", "Democrat"]), against_rest=True)
    assert [target.name for target in found.targets] == ["party_democrat", "party_independent", "party_republican"]
    assert found.columns["party_democrat"].tolist() == [1, 0, -1, 0, 1]
    assert found.columns["party_republican"].tolist() == [0, 1, -1, 0, 0]
    assert found.targets[0].classes == ("other party", "Democrat")
    assert "Democrat against all others" in found.targets[0].how


def test_3_categories_are_one_target_of_3_classes_in_alphabetical_order(read):
    party = read(csv("party", ["Democrat", "Republican", "", "independent", "Democrat"]))
    (target,) = party.targets
    assert (target.name, target.classes, target.ordered) == ("party", ("Democrat", "independent", "Republican"), False)
    assert party.columns["party"].tolist() == [0, 2, -1, 1, 0] and party.columns["party"].dtype == np.int8
    assert [view.name for view in target.against_rest] == ["party:democrat", "party:independent", "party:republican"]
    assert target.against_rest[0].classes == ("other party", "Democrat")


def test_a_class_of_9_rows_is_unknown_beside_two_of_10_and_the_target_says_so(read):
    party = read(csv("party", ["left"] * 10 + ["right"] * 12 + ["green"] * 9))
    assert party.targets[0].classes == ("left", "right") and party.columns["party"].tolist()[-9:] == [-1] * 9
    assert "Of fewer than 10 faces, and so unknown: green." in party.targets[0].how


def test_the_9_age_bands_of_fairface_are_one_target_in_the_order_of_their_numbers(read):
    words = ["20-29", "0-2", "3-9", "more than 70", "10-19", "30-39", "60-69", "40-49", "50-59"]
    (target,) = (ages := read(csv("age", words))).targets
    first = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
    assert (target.classes, target.ordered) == (first, True)
    assert ages.columns["age"].tolist() == [3, 0, 1, 8, 2, 4, 7, 5, 6]
    (mixed,) = read(csv("age", ["70+", "under 20", "20 to 69"])).targets
    assert (mixed.classes, mixed.ordered) == (("under 20", "20 to 69", "70+"), True)
    assert not read(csv("race", ["Black", "East Asian", "Indian", "Latino_Hispanic"])).targets[0].ordered


def test_bands_of_a_number_and_of_years_from_a_birthday_to_a_day(read):
    text = "image,age,birthday,smiling\n" + "".join(
        f"{i}.jpg,{age},{birthday},{i % 2}\n"
        for i, (age, birthday) in enumerate(
            [("24", "1960-01-01"), ("25", "1960-01-02"), ("", ""), ("61", "1999-05-05")]
        )
    )
    bands = [Bands.parse("age:25,45"), Bands.parse("birthday@2020-01-01:30,60")]
    labels = read(text, bands=bands)
    assert labels.columns["age_band"].tolist() == [0, 1, -1, 2]
    assert labels.columns["birthday_band"].tolist() == [2, 1, -1, 0]  # 60 years and 0 days; 60 years less a day
    ages = next(target for target in labels.targets if target.name == "age_band")
    assert (ages.classes, ages.ordered) == (("under 25", "25 to 44", "45 and over"), True)
    assert "age" not in labels.no_target and labels.columns["age"].tolist()[:2] == [24, 25]


@pytest.mark.parametrize("text", ["age", "age:", "age:45,25", "age:x", "age:nan", ":1,2", "birthday@2020:1"])
def test_7_wrong_ways_to_write_bands_are_one_sentence(text):
    with pytest.raises(Img2TabError, match="Bands"):
        Bands.parse(text)


def test_bands_of_a_column_that_is_not_there_or_holds_no_number_are_one_sentence(read):
    with pytest.raises(Img2TabError, match="Bands need a column that is there"):
        read(csv("smiling", ["0", "1"]), bands=[Bands.parse("age:25")])
    with pytest.raises(Img2TabError, match="must hold days"):
        read(csv("smiling", ["no", "yes"]), bands=[Bands.parse("smiling@2020-01-01:25")])


def test_12_categories_are_targets_and_13_are_text(read):
    assert len(read(csv("state", [f"s{i % 12}x" for i in range(40)]), against_rest=True).targets) == 12
    assert len(read(csv("state", [f"s{i % 12}x" for i in range(40)])).targets[0].classes) == 12
    found = read("image,state,smiling\n" + "".join(f"{i}.jpg,s{i % 13}x,{i % 2}\n" for i in range(40)))
    assert [target.name for target in found.targets] == ["smiling"]
    assert found.no_target == {"state": "it has 13 different texts, more than 12"}
    assert found.columns["state"][14] == "s1x"


def test_an_age_of_5_values_stays_a_number_and_2_numbers_are_classes(read):
    found = read("image,age,kind\n" + "".join(f"{i}.jpg,{'' if i == 3 else 20 + i},{5 + i % 2}\n" for i in range(6)))
    assert found.columns["age"].dtype == np.float64
    assert np.isnan(found.columns["age"][3]) and found.columns["age"][5] == 25
    assert found.no_target == {"age": "it has 5 different numbers"}
    assert found.columns["kind"].tolist() == [0, 1, 0, 1, 0, 1]
    assert found.targets[0].classes == ("kind 5", "kind 6")


def test_2_columns_whose_names_become_the_same_word_are_told_apart(read):
    found = read("image,Is smiling?,is_smiling,photo\na.jpg,0,1,x\nb.jpg,1,0,y\n")
    assert [target.name for target in found.targets] == ["is_smiling", "is_smiling_2", "photo_2"]
    assert [slug(text) for text in ("5_o_Clock_Shadow", "Höhe (cm)", "年")] == ["5_o_clock_shadow", "hohe_cm", "label"]


@pytest.mark.parametrize(
    "text",
    [
        "name;smiling\na.jpg;0\nb.jpg;1\n",
        "smiling\tfile\n0\ta.jpg\n1\tb.jpg\n",
        "\ufeffwhatever,smiling\r\na.jpg,0\r\nb.jpg,1\r\n",
        'path , smiling\n"a.jpg", 0\n"b.jpg", 1\n',
    ],
)
def test_4_kinds_of_csv_read_the_same(read, text):
    found = read(text)
    assert found.names == ("a.jpg", "b.jpg")
    assert found.columns["smiling"].tolist() == [0, 1]


def test_celebas_text_file_of_2_attributes(read):
    text = "3\n5_o_Clock_Shadow Male \n000001.jpg -1  1\n000002.jpg  1 -1\n000003.jpg -1 -1\n"
    found = read(text, "list_attr_celeba.txt")
    assert found.names == ("000001.jpg", "000002.jpg", "000003.jpg")
    assert found.columns["5_o_clock_shadow"].tolist() == [0, 1, 0]
    assert found.columns["male"].tolist() == [1, 0, 0]
    assert found.targets[1].classes == ("not male", "male")
    with pytest.raises(Img2TabError, match=r"must have 3 photos with 2 attributes, .* got 2 lines"):
        read(text.rsplit("\n", 2)[0], "list_attr_celeba.txt")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,smiling\na.jpg,0\na.jpg,1\n", "'a.jpg' more than once"),
        ("image,age\na.jpg,30\nb.jpg,31\nc.jpg,32\n", "got none .age: it has 3 different numbers"),
        ("image,smiling\na.jpg,1\nb.jpg,1\n", "fewer than two values"),
        ("image\na.jpg\n", "got none"),
        ("a.jpg,1\nb.jpg,0\n", "must start with a header line"),
        ("image,smiling\n", "must have a row per photo"),
        ("", "header line, got one that cannot be read"),
        ('image,smiling\na.jpg,1,2,3\n"b', "cannot be read"),
        (b"image,s\xff\n", "UTF-8"),
    ],
)
def test_9_files_that_are_no_labels_are_1_sentence_each(read, text, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        read(text)


def test_a_file_that_is_not_there_is_1_sentence(tmp_path):
    with pytest.raises(Img2TabError, match="There is no file"):
        read_labels(tmp_path / "none.csv")


def test_without_photos_named_the_first_of_2_columns_is_a_label_too(read):
    found = read("male,young\n0,1\n1,0\n", names_photos=False)
    assert found.names is None and [target.name for target in found.targets] == ["male", "young"]


def test_an_array_of_3_rows_and_2_columns_is_2_targets():
    array = np.array([[-1, 1], [1, 1], [1, -1]])
    found = labels_of(array, ["male", "young"], file="labels.npy")
    assert found.columns["male"].tolist() == [0, 1, 1] and found.columns["young"].tolist() == [1, 1, 0]
    assert [target.name for target in labels_of(array, [], file="labels.npy").targets] == ["label_1", "label_2"]
    assert labels_of(np.array([True, False]), [], file="male.npy").targets[0].name == "male"
    assert labels_of(np.array([0.0, np.nan, 1.0]), [], file="male.npy").columns["male"].tolist() == [0, -1, 1]
    with pytest.raises(Img2TabError, match=r"must name the 2 columns of labels\.npy, got 1 names"):
        labels_of(array, ["male"], file="labels.npy")
    with pytest.raises(Img2TabError, match="must be numbers of shape"):
        labels_of(np.array(["a", "b"]), [], file="labels.npy")


def test_4_ways_to_name_a_photo_find_it_and_2_photos_of_one_name_find_none():
    assert rows_for(["x/a.jpg", "b.jpg"], ["b.jpg", "x/a.jpg"]).tolist() == [1, 0]
    assert rows_for(["x/a.jpg", "b.jpg"], ["a.jpg", "other/b.jpg"]).tolist() == [0, 1]
    assert rows_for(["a.jpg", "b.png"], ["b", "a"]).tolist() == [1, 0]
    assert rows_for(["x/a.jpg", "y/a.jpg", "c.jpg"], ["a.jpg", "c.jpg"]).tolist() == [-1, -1, 1]


def test_row_minus_1_is_unknown_in_all_3_kinds_of_column(read):
    found = read("image,smiling,age,note\n" + "".join(f"{i}.jpg,{i % 2},{30 + i},n{i}x\n" for i in range(14)))
    taken = found.at(np.array([3, -1]))
    assert taken["smiling"].tolist() == [1, -1] and taken["smiling"].dtype == np.int8
    assert taken["age"][0] == 33 and np.isnan(taken["age"][1])
    assert taken["note"].tolist() == ["n3x", ""]


def test_a_photo_does_not_get_the_label_of_another_folder_s_photo_of_1_name():
    rows = rows_for(["female/a.jpg", "images/b.jpg", "c.jpg"], ["male/a.jpg", "b.jpg", "data/images/c.jpg"])
    assert rows.tolist() == [-1, 1, 2]


def test_a_row_with_4_cells_under_3_headings_is_refused_and_excel_s_first_line_is_skipped(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("image,smiling,young\na.jpg,Lee,0,1\n")
    with pytest.raises(Img2TabError, match="as many cells as its header line"):
        read_labels(file)
    file.write_text("sep=;\nname;image;smiling\nAnn;a.jpg;1\nBob;b.jpg;0\n")
    found = read_labels(file)
    assert found.names == ("a.jpg", "b.jpg") and [one.name for one in found.targets] == ["name", "smiling"]


def test_birthdays_with_times_and_zones_are_days_and_bands_of_one_year_or_a_million_are_written_out():
    bands = Bands.parse("birthday@2020-01-01:30,60")
    cells = pd.Series(["1990-01-02T00:00:00+14:00", "1990-01-01", "1950-06-01T12:00:00Z", "never"])
    np.testing.assert_array_equal(bands.numbers(cells), [29, 30, 69, np.nan])
    assert names_of((25.0, 26.0, 1e6), whole=True) == ("under 25", "25", "26 to 999999", "1000000 and over")
