package hint

// Nearest returns the word that text is most likely a misspelling of, or "".
func Nearest(text string, words []string) string {
	near, limit := "", min(3, max(1, len(text)/4))
	for _, word := range words {
		if d := distance(text, word); d <= limit {
			near, limit = word, d-1
		}
	}
	return near
}

// distance returns how many bytes must be inserted, deleted or replaced to turn a into b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
