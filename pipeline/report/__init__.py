"""What a run found, for people: tables, the Pareto picture, one offline HTML file, and a comparison of two runs."""
