"""Browser parts that pages share; they take what they show as arguments and know no visitor."""
