"""Given genes, and the names that files are joined by: forms of arguments, warnings, errors."""

import pickle
import warnings

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import GeneList, MappedCollection

DEMO = helpers.DEMO[0]
GENES = ["ZNF7", "no such gene", "NKG7"]


def opened(**options):
    return MappedCollection(helpers.DEMO[:2], **options)


def expected(paths, genes):
    """X of several files over given genes, by pandas."""
    import anndata as ad

    tables = [ad.read_h5ad(path).to_df() for path in paths]
    return pd.concat([table.reindex(columns=genes, fill_value=0) for table in tables]).to_numpy()


@pytest.mark.parametrize(
    "genes",
    [
        GENES,
        tuple(GENES),
        np.array(GENES),
        pd.Index(GENES),
        pd.Series(GENES),
        (name for name in GENES),
        GeneList(GENES),
        {"ZNF7": 1, "<pad>": 0, "NKG7": 9, "no such gene": 2},
    ],
    ids=lambda genes: type(genes).__name__,
)
def test_genes_may_be_any_names(genes):
    with opened(genes=genes) as cells:
        assert cells.join_vars == "given" and cells.var_joint.tolist() == GENES
        assert cells.shape == (len(cells), 3)
        assert [positions[1] for positions in cells.var_indices] == [-1, -1]
        np.testing.assert_array_equal(cells[:]["X"], expected(helpers.DEMO[:2], GENES))


def test_genes_may_be_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"id": range(3), "symbol": GENES})
    table.to_csv("genes.csv", index=False)
    table.to_csv("genes.tsv", index=False, sep="\t")
    (tmp_path / "genes.txt").write_text("\n".join(GENES) + "\n")
    table.set_index("symbol")["id"].to_json("genes.json")
    for genes in ["genes.csv:symbol", "genes.tsv:symbol", "genes.txt", "genes.json"]:
        with opened(genes=genes) as cells:
            assert cells.var_joint.tolist() == GENES, genes
    with opened(genes=tmp_path / "genes.txt") as cells:
        assert cells.n_vars == 3
    assert GeneList.from_file("genes.csv", "symbol").names == tuple(GENES)
    assert GeneList.from_file("genes.json").ids == (0, 1, 2)
    with pytest.raises(FileNotFoundError, match="CD4"):
        opened(genes="CD4")
    with pytest.raises(ValueError, match=r'found the columns "id", "symbol"'):
        opened(genes="genes.csv")


def test_pickle_keeps_the_genes_and_not_their_file(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("\n".join(GENES))
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text("NKG7\tother\n")
    with opened(genes=path, aliases=aliases, min_overlap=0) as cells:
        row = cells[0]["X"]
        path.unlink()
        aliases.unlink()
        with pickle.loads(pickle.dumps(cells)) as again:
            assert again.var_joint.tolist() == GENES
            np.testing.assert_array_equal(again[0]["X"], row)
            assert row[2] == 0


def test_low_overlap_warns_and_none_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(genes=GENES).close()
    with pytest.warns(UserWarning, match="1 of the 3 given genes, an overlap of 33 %"):
        cells = opened(genes=["NKG7", "a", "b"])
    assert [overlap["overlap"] for overlap in cells.gene_overlaps] == [1 / 3, 1 / 3]
    assert cells.gene_overlaps[1]["store"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(genes=["NKG7", "a", "b"], min_overlap=0.3).close()
    with pytest.raises(ValueError, match=r'has none of the 2 given genes .*given "a", "b", found'):
        opened(genes=["a", "b"])
    assert opened().gene_overlaps == []


STORES = [str(helpers.STORES / name) for name in ("genes_symbol_csr.h5ad", "genes_id_dense.h5ad")]


def test_error_of_disjoint_names_says_what_helps():
    with pytest.raises(ValueError) as raised:
        MappedCollection(STORES)
    text = str(raised.value)
    lamindbs = "The provided AnnData objects don't have shared variables.\nUse join='outer'."
    assert text.startswith(lamindbs + "\n")
    assert 'column "symbol" has an overlap' in text or 'column "ensembl_id" has an' in text
    with pytest.warns(UserWarning, match="strip_version"):
        MappedCollection(STORES[0], genes=["ENSG00000141510", "ENSG00000010610", "CD4", "x", "y"])


@pytest.mark.parametrize(
    "var_key",
    [
        {0: "ensembl_id"},
        {STORES[0]: ["ensembl_id"], 1: None},
        ["ensembl_id", None],
        ("ensembl_id", "_index"),
        {0: ["no such column", "ensembl_id"]},
    ],
)
def test_var_key_is_one_for_all_or_for_each(var_key):
    with MappedCollection(STORES, var_key=var_key, strip_version=True) as cells:
        assert cells.var_joint.tolist() == [
            "ENSG00000180096",
            "ENSG00000010610",
            "ENSG00000136997",
        ]
        assert cells.var_list[0].tolist()[2] == ""
        assert cells.check_vars_non_aligned(cells.var_list[1]) == [0]
        assert cells.vars_of("X").equals(cells.var_joint)
        assert cells.presence(1).tolist() == [True] * 3


def test_var_key_of_a_path_is_for_all_stores_of_it():
    path = STORES[0]
    with MappedCollection([path, path], var_key={path: "ensembl_id"}) as cells:
        assert [names[0] for names in cells.var_list] == ["ENSG00000141510.16"] * 2


def test_lists_with_ids_are_checked(tmp_path):
    with pytest.raises(ValueError, match="expected an id for each of 2 names, found 1"):
        GeneList(["A", "B"], ids=[1])
    with pytest.raises(TypeError, match="expected a vocabulary"):
        GeneList.from_vocabulary(["A"])
    path = tmp_path / "genes.txt"
    path.write_text("<pad>\nA\n")
    with pytest.raises(ValueError, match=r"expected a vocabulary \(.json\) for special names"):
        GeneList.from_file(path, special=["<pad>"])


def test_aliases_may_be_a_dict_or_a_file(tmp_path):
    path = tmp_path / "aliases.csv"
    path.write_text("SEPT1,SEPTIN1\n")
    for aliases in ({"SEPT1": "SEPTIN1"}, path, str(path)):
        with MappedCollection(STORES, var_key={1: "symbol"}, aliases=aliases) as cells:
            assert "SEPTIN1" in cells.var_joint


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"genes": GENES, "join": "outer"}, ValueError, "join: expected its default, 'inner'"),
        ({"genes": GENES, "join": None}, ValueError, "join: expected its default, 'inner'"),
        ({"genes": []}, ValueError, "genes: expected at least one name"),
        ({"genes": ["NKG7", "NKG7"]}, ValueError, 'genes: .*"NKG7" more than once'),
        ({"genes": [1, 2]}, TypeError, "genes: expected a text, found 1"),
        ({"genes": 3}, TypeError, "genes: expected several values, found 3"),
        ({"genes": {"a": 1, "b": 1}}, ValueError, "genes: expected distinct ids"),
        ({"genes": {"a": "b"}}, TypeError, "genes"),
        ({"min_overlap": 1.5}, ValueError, "min_overlap: expected a fraction from 0 to 1"),
        ({"min_overlap": "0.5"}, TypeError, "min_overlap: expected a number"),
        ({"var_key": 3}, TypeError, "var_key: expected several values"),
        ({"var_key": {2: "x"}}, ValueError, "var_key: expected at most 1, found 2"),
        ({"var_key": {"x.h5ad": "x"}}, ValueError, "var_key: expected a path of path_list"),
        ({"var_key": "gene_idz"}, ValueError, 'var: expected one of the columns "gene_idz"'),
        ({"strip_version": "yes"}, TypeError, "strip_version: expected True or False"),
        ({"genes": {"NKG7", "ZNF7"}}, TypeError, "genes: expected names in an order, found set"),
        ({"genes": pd.DataFrame({"NKG7": [1]})}, TypeError, "in an order, found DataFrame"),
        ({"genes": "https://x/genes.txt"}, ValueError, "the path of a file on this machine"),
        ({"var_key": {0: "a", DEMO: "b"}}, ValueError, "expected one entry for store 0, found two"),
        ({"aliases": {"a": ""}}, ValueError, "aliases: expected names, found an empty text"),
        ({"aliases": ["a"]}, TypeError, "aliases: expected a dict or a path"),
        ({"aliases": {"a": 1}}, TypeError, "aliases: expected a text"),
        ({"aliases": "no such file"}, FileNotFoundError, "no such file"),
        ({"duplicates": "Sum"}, ValueError, "duplicates: expected .* did you mean 'sum'"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(options, error, text):
    with pytest.raises(error, match=text):
        opened(**options)


def test_matrices_of_other_names_are_errors():
    with opened(genes=GENES) as cells:
        for ask in (lambda: cells.vars_of("Y"), lambda: cells.presence(0, "Y")):
            with pytest.raises(ValueError, match=r"key: expected one of \['X'\], found 'Y'"):
                ask()


def test_loader_has_the_given_genes():
    with opened(genes=GENES) as cells:
        whole = cells[:]["X"]
        for output in ("dense", "csr"):
            batches = cells.loader(300, shuffle="exact", seed=1, output=output)
            for batch in batches:
                rows = batch["X"].toarray() if output == "csr" else batch["X"]
                position = batch["_row_idx"] + (batch["_store_idx"] == 1) * cells.n_obs_list[0]
                np.testing.assert_array_equal(rows, whole[position])


def test_repr_shows_the_genes():
    with opened(genes=GENES) as cells:
        assert "genes=GeneList(3 genes: 'ZNF7', 'no such gene', 'NKG7')" in repr(cells)
