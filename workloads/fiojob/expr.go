package fiojob

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// maxDepth bounds the nesting of an expression.
const maxDepth = 64

// evaluate computes an integer expression: + - * / % ^ with their usual precedence, unary minus,
// parentheses, and numbers with the suffixes k, m, g, t and p as powers of 1024. fio pipes such texts
// through bc(1); as there, division truncates. Overflow and division by zero are errors.
func evaluate(text string) (int64, error) {
	e := &expression{rest: text}
	v, err := e.sum(0)
	if err != nil {
		return 0, err
	}
	if e.skip(); e.rest != "" {
		return 0, fmt.Errorf("%q is not expected there", e.rest[:1])
	}
	return v, nil
}

type expression struct{ rest string }

func (e *expression) skip() { e.rest = strings.TrimLeft(e.rest, " \t") }

// next takes one of the operators in set, or returns 0.
func (e *expression) next(set string) byte {
	if e.skip(); e.rest == "" || strings.IndexByte(set, e.rest[0]) < 0 {
		return 0
	}
	op := e.rest[0]
	e.rest = e.rest[1:]
	return op
}

func (e *expression) sum(depth int) (int64, error) {
	v, err := e.product(depth)
	for err == nil {
		op := e.next("+-")
		if op == 0 {
			return v, nil
		}
		var w int64
		if w, err = e.product(depth); err == nil {
			v, err = operate(op, v, w)
		}
	}
	return 0, err
}

func (e *expression) product(depth int) (int64, error) {
	v, err := e.power(depth)
	for err == nil {
		op := e.next("*/%")
		if op == 0 {
			return v, nil
		}
		var w int64
		if w, err = e.power(depth); err == nil {
			v, err = operate(op, v, w)
		}
	}
	return 0, err
}

func (e *expression) power(depth int) (int64, error) {
	v, err := e.atom(depth)
	if err != nil || e.next("^") == 0 {
		return v, err
	}
	if depth++; depth > maxDepth {
		return 0, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	w, err := e.power(depth)
	if err != nil {
		return 0, err
	}
	if w < 0 || w > 63 {
		return 0, fmt.Errorf("the power %d is not from 0 to 63", w)
	}
	result := int64(1)
	for range w {
		if result, err = operate('*', result, v); err != nil {
			return 0, err
		}
	}
	return result, nil
}

func (e *expression) atom(depth int) (int64, error) {
	if depth++; depth > maxDepth {
		return 0, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch {
	case e.next("-") != 0:
		v, err := e.atom(depth)
		return -v, err
	case e.next("(") != 0:
		v, err := e.sum(depth)
		if err == nil && e.next(")") == 0 {
			err = errors.New("a ) is missing")
		}
		return v, err
	}
	return e.number()
}

func (e *expression) number() (int64, error) {
	var v int64
	digits := 0
	for ; digits < len(e.rest) && e.rest[digits] >= '0' && e.rest[digits] <= '9'; digits++ {
		w, err := operate('*', v, 10)
		if err == nil {
			v, err = operate('+', w, int64(e.rest[digits]-'0'))
		}
		if err != nil {
			return 0, err
		}
	}
	if digits == 0 {
		if e.rest == "" {
			return 0, errors.New("a number is missing at its end")
		}
		return 0, fmt.Errorf("%q is not a number", e.rest[:1])
	}
	e.rest = e.rest[digits:]
	if e.rest != "" {
		if power := strings.IndexByte("kmgtp", e.rest[0]|0x20) + 1; power > 0 {
			e.rest = e.rest[1:]
			return operate('*', v, 1<<(10*power))
		}
	}
	return v, nil
}

func operate(op byte, v, w int64) (int64, error) {
	switch op {
	case '+':
		if sum := v + w; (sum > v) == (w > 0) {
			return sum, nil
		}
	case '-':
		if diff := v - w; (diff < v) == (w > 0) {
			return diff, nil
		}
	case '*':
		hi, lo := bits.Mul64(magnitude(v), magnitude(w))
		switch {
		case hi != 0 || lo > maxInt64:
		case (v < 0) != (w < 0):
			return -int64(lo), nil
		default:
			return int64(lo), nil
		}
	default:
		if w == 0 {
			return 0, errors.New("division by zero")
		}
		if w == -1 {
			if op == '%' {
				return 0, nil
			}
			return operate('*', v, -1)
		}
		if op == '/' {
			return v / w, nil
		}
		return v % w, nil
	}
	return 0, errors.New("the result does not fit into 63 bits")
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}
