// The collection `cells` of the examples in the documentation: five cells of two stores, two genes
// in common. A block, so that an example includes it as one expression.
{
    use mapped_collection::{MappedCollection, MemoryStore, Values};

    let lung = MemoryStore::new("lung")
        .dataframe("obs", &["l1", "l2", "l3"])
        .categorical("obs/cell_type", vec![1, 0, 1], &["B cell", "T cell"])
        .categorical("obs/donor", vec![0, 0, 1], &["d1", "d2"])
        .dataframe("var", &["CD4", "MYC"])
        .array("X", &[3, 2], Values::F32(vec![1., 2., 0., 4., 5., 0.]));
    let liver = MemoryStore::new("liver")
        .dataframe("obs", &["h1", "h2"])
        .categorical("obs/cell_type", vec![0, -1], &["T cell"])
        .categorical("obs/donor", vec![0, 0], &["d3"])
        .dataframe("var", &["CD4", "MYC"])
        .array("X", &[2, 2], Values::F32(vec![7., 8., 0., 9.]));
    MappedCollection::builder([lung, liver])
        .obs(["cell_type", "donor"])
        .open()?
}
