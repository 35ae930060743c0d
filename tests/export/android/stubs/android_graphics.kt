package android.graphics

class Bitmap(private val width: Int, private val height: Int, private val argb: IntArray) {
    fun getPixels(into: IntArray, offset: Int, stride: Int, x: Int, y: Int, w: Int, h: Int) {
        check(offset == 0 && stride == width && x == 0 && y == 0 && w == width && h == height)
        argb.copyInto(into)
    }

    companion object {
        @JvmStatic
        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter && source.width == width && source.height == height)
            return source
        }
    }
}
