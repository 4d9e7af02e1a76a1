"""Alert rules: what they are (`rules`), how they are written (`parsing`), what they say now (`evaluate`), what of it is told (`states`),
and what they would have told (`replay`). Nothing here sends, keeps or looks at a clock."""
