//! Bad input: the files of `fixtures/bad`, each with the error that it must give, and where.
