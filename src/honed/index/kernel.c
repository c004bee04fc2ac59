/* The inner loops of word search, see kernel.py, which has the same by numpy.

   Arrays come as contiguous buffers and are checked here: a file that changes under its map must not make this read
   or write outside of them. Sums are made in the order in which numpy makes them. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BUFFERS 20
#define LONG_NAME 4 /* words: such a name may have one more word of the query between its own */

/* Takes the buffers of a call; each is an array of items of a size, and those from `first_output` on are written to. */
static int take(PyObject *args, Py_buffer *buffers, const char *sizes, int first_output)
{
    const int n = (int)strlen(sizes);
    if (PyTuple_Size(args) != n) {
        PyErr_Format(PyExc_TypeError, "%d arrays are needed", n);
        return 0;
    }
    for (int at = 0; at < n; at++) {
        const int flags = at < first_output ? PyBUF_SIMPLE : PyBUF_WRITABLE;
        int fits = PyObject_GetBuffer(PyTuple_GetItem(args, at), &buffers[at], flags) == 0;
        if (fits && buffers[at].len % (sizes[at] - '0')) {
            PyBuffer_Release(&buffers[at]);
            PyErr_Format(PyExc_ValueError, "array %d is of another kind", at);
            fits = 0;
        }
        if (!fits) {
            while (at--)
                PyBuffer_Release(&buffers[at]);
            return 0;
        }
    }
    return n;
}

/* Gives the buffers back; returns None, or an error for arrays that do not fit together, or for want of memory. */
static PyObject *finish(Py_buffer *buffers, int n, const char *fault)
{
    while (n--)
        PyBuffer_Release(&buffers[n]);
    if (fault) {
        PyErr_SetString(*fault ? PyExc_ValueError : PyExc_MemoryError, fault);
        return NULL;
    }
    Py_RETURN_NONE;
}

#define COUNT(at, size) (buffers[at].len / (Py_ssize_t)(size))

/* ends (i64), rows (i32), weights (f32, or none: all are 1), numbers (i64), counts (f32) -> scores (f32) */
static PyObject *add_up(PyObject *module, PyObject *args)
{
    Py_buffer buffers[MOST_BUFFERS];
    const char *fault = NULL;
    const int taken = take(args, buffers, "844844", 5);
    (void)module;
    if (!taken)
        return NULL;
    const int64_t *ends = buffers[0].buf, *numbers = buffers[3].buf;
    const int32_t *rows = buffers[1].buf;
    const float *weights = buffers[2].buf, *counts = buffers[4].buf;
    float *scores = buffers[5].buf;
    const Py_ssize_t n_terms = COUNT(0, 8) - 1, n_postings = COUNT(1, 4), n_numbers = COUNT(3, 8), n = COUNT(5, 4);
    double *totals = NULL;
    const int weighted = buffers[2].len > 0;
    if ((weighted && COUNT(2, 4) != n_postings) || COUNT(4, 4) != n_numbers)
        fault = "the arrays do not fit together";
    else if (!(totals = calloc(n ? (size_t)n : 1, sizeof *totals)))
        fault = "";
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t at = 0; !fault && at < n_numbers; at++) {
        const int64_t number = numbers[at];
        const float count = counts[at];
        if (number < 0 || number >= n_terms || ends[number] < 0 || ends[number + 1] > n_postings) {
            fault = "a term is outside the postings";
            break;
        }
        for (int64_t place = ends[number]; place < ends[number + 1]; place++) {
            const uint32_t row = (uint32_t)rows[place];
            if ((Py_ssize_t)row >= n) {
                fault = "a row is outside the documents";
                break;
            }
            totals[row] += (double)(weighted ? weights[place] * count : count);
        }
    }
    for (Py_ssize_t row = 0; !fault && row < n; row++)
        scores[row] = (float)totals[row];
    Py_END_ALLOW_THREADS
    free(totals);
    return finish(buffers, taken, fault);
}

/* Whether the first of two rows comes later in a ranking: its score is lower, or the same and its number is higher. */
static int is_later(const float *scores, int64_t first, int64_t second)
{
    return scores[first] < scores[second] || (scores[first] == scores[second] && first > second);
}

/* Lets the row at a place of a heap sink until the latest of each branch stands above its others. */
static void sink(int64_t *heap, Py_ssize_t size, Py_ssize_t at, const float *scores)
{
    const int64_t row = heap[at];
    for (Py_ssize_t next; (next = 2 * at + 1) < size; at = next) {
        if (next + 1 < size && is_later(scores, heap[next + 1], heap[next]))
            next++;
        if (!is_later(scores, heap[next], row))
            break;
        heap[at] = heap[next];
    }
    heap[at] = row;
}

#define SIDE_BY_SIDE 32 /* scores that are looked at together */

/* The next row from one on whose score is another than a given one, or n. */
static Py_ssize_t next_other(const float *scores, Py_ssize_t row, Py_ssize_t n, float score)
{
    for (; row + SIDE_BY_SIDE <= n; row += SIDE_BY_SIDE) {
        int found = 0;
        for (int lane = 0; lane < SIDE_BY_SIDE; lane++)
            found |= scores[row + lane] != score;
        if (found)
            break;
    }
    while (row < n && scores[row] == score)
        row++;
    return row;
}

/* The next row from one on whose score is above a given one, or n. */
static Py_ssize_t next_above(const float *scores, Py_ssize_t row, Py_ssize_t n, float score)
{
    for (; row + SIDE_BY_SIDE <= n; row += SIDE_BY_SIDE) {
        int found = 0;
        for (int lane = 0; lane < SIDE_BY_SIDE; lane++)
            found |= scores[row + lane] > score;
        if (found)
            break;
    }
    while (row < n && !(scores[row] > score))
        row++;
    return row;
}

/* scores (f32) -> rows (i64) of the highest that are not 0, best first, -1 where there are fewer */
static PyObject *best_rows(PyObject *module, PyObject *args)
{
    Py_buffer buffers[MOST_BUFFERS];
    const int taken = take(args, buffers, "48", 1);
    (void)module;
    if (!taken)
        return NULL;
    const float *scores = buffers[0].buf;
    int64_t *heap = buffers[1].buf;
    const Py_ssize_t n = COUNT(0, 4), depth = COUNT(1, 8);
    Py_BEGIN_ALLOW_THREADS
    Py_ssize_t size = 0, row = 0;
    for (; row < n && size < depth; row++) {
        row = next_other(scores, row, n, 0);
        if (row < n)
            heap[size++] = row;
    }
    for (Py_ssize_t at = size / 2; at--;)
        sink(heap, size, at, scores);
    float lowest = size ? scores[heap[0]] : 0;
    while (size && (row = next_above(scores, row, n, lowest)) < n) { /* of rows with the lowest score the first stays */
        if (scores[row] != 0) {
            heap[0] = row;
            sink(heap, size, 0, scores);
            lowest = scores[heap[0]];
        }
        row++;
    }
    for (Py_ssize_t last = size; last-- > 1;) { /* the latest goes to the end, again and again */
        const int64_t latest = heap[0];
        heap[0] = heap[last];
        heap[last] = latest;
        sink(heap, last, 0, scores);
    }
    for (Py_ssize_t at = size; at < depth; at++)
        heap[at] = -1;
    Py_END_ALLOW_THREADS
    return finish(buffers, taken, NULL);
}

/* The words of a query that words of names match: at a place, the words from low to high, and what a match counts. */
typedef struct {
    const int64_t *at, *low, *high;
    const float *share;
    Py_ssize_t n, width;
} Ranges;

/* How well a word of a name matches each word of the query; returns the best. */
static float match_word(const Ranges *ranges, int64_t word, float *match)
{
    float best = 0;
    memset(match, 0, (size_t)ranges->width * sizeof *match);
    for (Py_ssize_t range = 0; range < ranges->n; range++) {
        if (word < ranges->low[range] || word >= ranges->high[range])
            continue;
        float *here = &match[ranges->at[range]];
        if (ranges->share[range] > *here)
            *here = ranges->share[range];
        if (*here > best)
            best = *here;
    }
    return best;
}

/* Adds to the sum of each window of a query what a word of a name that matches inside is worth. */
static void add_windows(const float *match, Py_ssize_t width, Py_ssize_t size, float worth, float *most, float *sums)
{
    const Py_ssize_t n_windows = width - size + 1;
    memset(most, 0, (size_t)n_windows * sizeof *most);
    for (Py_ssize_t place = 0; place < width; place++) {
        if (match[place] == 0)
            continue;
        const Py_ssize_t from = place - size + 1 > 0 ? place - size + 1 : 0;
        for (Py_ssize_t start = from; start <= place && start < n_windows; start++)
            if (match[place] > most[start])
                most[start] = match[place];
    }
    for (Py_ssize_t start = 0; start < n_windows; start++)
        sums[start] += most[start] * worth;
}

/* Whether a name stands word for word somewhere in a query (1), and there between signs (2). */
static int stands(const float *match, Py_ssize_t length, Py_ssize_t width, const char *starts, const char *stops)
{
    int found = 0;
    for (Py_ssize_t start = 0; start + length <= width && found < 3; start++) {
        Py_ssize_t word = 0;
        while (word < length && match[word * width + start + word] >= 1)
            word++;
        if (word == length)
            found |= 1 | (starts[start] && stops[start + length] ? 2 : 0);
    }
    return found;
}

enum { TOKENS, ENDS, NAMES, WORTH, USUAL, AT, LOW, HIGH, SHARE, STARTS, STOPS, MASS, UNUSUAL, ANYWHERE, HELD, START,
       SIZE, FOUND };

/* tokens (i32), ends (i64), names (i64), worth (f32), usual (f32), the ranges: at, low, high (i64), share (f32), signs
   before and after each word (bytes) -> by name: mass, unusual, anywhere, held (f32), start, size (i64), found (byte) */
static PyObject *lay_names(PyObject *module, PyObject *args)
{
    Py_buffer buffers[MOST_BUFFERS];
    const char *fault = NULL;
    const int taken = take(args, buffers, "488448884114444881", MASS);
    (void)module;
    if (!taken)
        return NULL;
    const int32_t *tokens = buffers[TOKENS].buf;
    const int64_t *ends = buffers[ENDS].buf, *names = buffers[NAMES].buf;
    const float *worth = buffers[WORTH].buf, *usual = buffers[USUAL].buf;
    float *mass = buffers[MASS].buf, *unusual = buffers[UNUSUAL].buf;
    float *anywhere = buffers[ANYWHERE].buf, *held = buffers[HELD].buf;
    int64_t *start_of = buffers[START].buf, *size_of = buffers[SIZE].buf;
    char *found = buffers[FOUND].buf;
    const Py_ssize_t n = COUNT(NAMES, 8), n_words = COUNT(WORTH, 4), width = COUNT(STARTS, 1) - 1;
    const Ranges ranges = {buffers[AT].buf, buffers[LOW].buf, buffers[HIGH].buf, buffers[SHARE].buf, COUNT(AT, 8), width};
    for (int at = MASS; at <= FOUND; at++)
        if (COUNT(at, at < START ? 4 : at < FOUND ? 8 : 1) != n)
            fault = "the arrays do not fit together";
    if (COUNT(USUAL, 4) != n_words || COUNT(STOPS, 1) != width + 1 || width < 1 || COUNT(LOW, 8) != ranges.n
        || COUNT(HIGH, 8) != ranges.n || COUNT(SHARE, 4) != ranges.n)
        fault = "the arrays do not fit together";
    for (Py_ssize_t range = 0; !fault && range < ranges.n; range++)
        if (ranges.at[range] < 0 || ranges.at[range] >= width)
            fault = "a place is outside the query";
    Py_ssize_t longest = 0;
    for (Py_ssize_t at = 0; !fault && at < n; at++) {
        const int64_t name = names[at];
        if (name < 0 || name + 1 >= COUNT(ENDS, 8) || ends[name] < 0 || ends[name + 1] < ends[name]
            || ends[name + 1] > COUNT(TOKENS, 4))
            fault = "a name is outside the names";
        else if (ends[name + 1] - ends[name] > longest)
            longest = (Py_ssize_t)(ends[name + 1] - ends[name]);
    }
    float *match = NULL, *sums = NULL;
    if (!fault && longest > 0xFFFFFF / width)
        fault = "a name is too long";
    if (!fault && (!(match = malloc(((size_t)longest + 1) * (size_t)width * sizeof *match))
                   || !(sums = malloc(2 * (size_t)width * sizeof *sums))))
        fault = "";
    Py_BEGIN_ALLOW_THREADS
    double all = 0, all_unusual = 0, all_anywhere = 0;
    for (Py_ssize_t at = 0; !fault && at < n; at++) {
        const int32_t *words = tokens + ends[names[at]];
        const Py_ssize_t length = (Py_ssize_t)(ends[names[at] + 1] - ends[names[at]]);
        const double before = all, unusual_before = all_unusual, anywhere_before = all_anywhere;
        for (Py_ssize_t word = 0; word < length; word++) {
            if ((Py_ssize_t)(uint32_t)words[word] >= n_words) {
                fault = "a word is outside the words";
                break;
            }
            const float best = match_word(&ranges, words[word], match + word * width);
            all += worth[words[word]];
            all_unusual += usual[words[word]];
            all_anywhere += best * worth[words[word]];
        }
        if (fault)
            break;
        mass[at] = (float)(all - before > 1e-9 ? all - before : 1e-9);
        unusual[at] = (float)(all_unusual - unusual_before);
        anywhere[at] = (float)(all_anywhere - anywhere_before);
        held[at] = 0;
        start_of[at] = size_of[at] = 0;
        found[at] = 0;
        if (!(anywhere[at] > 0))
            continue;
        Py_ssize_t size = length + (length > 1) + (length > LONG_NAME);
        size = size < width ? size : width;
        memset(sums, 0, (size_t)width * sizeof *sums);
        for (Py_ssize_t word = 0; word < length; word++)
            add_windows(match + word * width, width, size, worth[words[word]], sums + width, sums);
        for (Py_ssize_t start = 0; start <= width - size; start++)
            if (sums[start] > held[at]) {
                held[at] = sums[start];
                start_of[at] = start;
            }
        size_of[at] = held[at] > 0 ? size : 0;
        found[at] = (char)stands(match, length, width, buffers[STARTS].buf, buffers[STOPS].buf);
    }
    Py_END_ALLOW_THREADS
    free(match);
    free(sums);
    return finish(buffers, taken, fault);
}

static PyMethodDef methods[] = {
    {"add_up", add_up, METH_VARARGS, "Add up the weights of terms for every document."},
    {"best_rows", best_rows, METH_VARARGS, "Rank the rows with the highest scores."},
    {"lay_names", lay_names, METH_VARARGS, "Lay names over the words of a query."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModule_Create(&definition);
}
