package proxy_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"strings"
	"testing"
)

// The package writes Authorization in one place, and has no state, nor has package upstream. The
// test of imports checks that they cannot see a refresh token.
func TestSourceKeepsTheInvariants(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("upstream/*.go")
	if err != nil {
		t.Fatal(err)
	}
	writers := 0
	for _, name := range append(files, below...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s has an init", name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == gotoken.VAR && !isError(v) {
						t.Errorf("%s has the variable %s", name, v.Names[0])
					}
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == gotoken.STRING && strings.EqualFold(s.Value, `"Authorization"`) {
				writers++
			}
			return true
		})
	}
	is(t, "places that name Authorization", writers, 1)
}

// isError reports whether a variable is an error's only value.
func isError(v *ast.ValueSpec) bool {
	if len(v.Values) != 1 {
		return false
	}
	call, ok := v.Values[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && f.Sel.Name == "New" && f.X.(*ast.Ident).Name == "errors"
}
